"""Run a native runner of another processor here, under qemu-user.

qemu emulates a processor's instructions and passes system calls on, so a program still reads
this machine's ``/proc/cpuinfo`` (qemu before 8.2). Runtimes choose kernels by what stands there,
and ONNX Runtime crashes where it describes no Arm processor. qemu's option ``-L`` names a folder
whose files come before those of this machine; it gets the ``/proc/cpuinfo`` of the processor.

Results are those of the processor's instructions; times say nothing.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from kit import files
from kit.errors import MissingTool, OutputError, UnknownName
from kit.runners.native import RunnerSet

QEMU = {"arm64-v8a": ("qemu-aarch64-static", "qemu-aarch64")}

# CPU implementer and part, as the register MIDR_EL1 has them. Not ``max``: qemu 7.2 computes its
# SME instructions wrongly.
PROCESSORS = {
    "cortex-a35": (0x41, 0xD04),
    "cortex-a53": (0x41, 0xD03),
    "cortex-a55": (0x41, 0xD05),
    "cortex-a57": (0x41, 0xD07),
    "cortex-a72": (0x41, 0xD08),
    "cortex-a76": (0x41, 0xD0B),
    "cortex-a710": (0x41, 0xD47),
    "neoverse-n1": (0x41, 0xD0C),
}


def command(runner: RunnerSet, processor: str, root: Path) -> list[str]:
    """Return the words that start an Arm runner here; the runner's options follow them.

    Args:
        runner: a runner in the cache.
        processor: one of `PROCESSORS`; qemu refuses those that it does not know.
        root: folder that gets ``proc/cpuinfo``, which must be there as long as the runner runs.

    Raises:
        UnknownName: there is no such processor.
        MissingTool: qemu is not installed, or emulates no processor of this runner's ABI.
        OutputError: the folder cannot be written to.
    """
    if processor not in PROCESSORS:
        raise UnknownName.among("processor to emulate", processor, PROCESSORS)
    qemu = _find_qemu(runner.abi)
    _furnish(root, _cpuinfo(*PROCESSORS[processor]))
    return [qemu, "-cpu", processor, "-L", str(root), *runner.command(str(runner.folder))]


def _find_qemu(abi: str) -> str:
    names = QEMU.get(abi, ())
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise MissingTool(
            f"there is no {' or '.join(names) or 'qemu-user'} to run a runner for {abi} with",
            "on Debian or Ubuntu: apt-get install qemu-user-static",
        )
    return found


def _furnish(root: Path, cpuinfo: str) -> None:
    path = root / "proc" / "cpuinfo"
    try:
        files.write(path, cpuinfo)
    except OSError as exc:
        raise OutputError.of(exc, path, "make space there, or name another folder") from exc


def _cpuinfo(implementer: int, part: int) -> str:
    """Return the text of ``/proc/cpuinfo``: as many processors as this machine has, all alike."""
    lines = (
        "BogoMIPS\t: 50.00",
        "Features\t: fp asimd",  # of an Arm processor; programs ask the auxiliary vector
        f"CPU implementer\t: 0x{implementer:02x}",
        "CPU architecture: 8",
        "CPU variant\t: 0x0",
        f"CPU part\t: 0x{part:03x}",
        "CPU revision\t: 4",
    )
    numbers = range(os.cpu_count() or 1)
    return "\n".join("\n".join((f"processor\t: {n}", *lines)) + "\n" for n in numbers)
