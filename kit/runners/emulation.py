"""Run a native runner of another processor here, under qemu-user.

qemu emulates a processor's instructions and forwards system calls, so a program still reads
this machine's ``/proc/cpuinfo`` (qemu before 8.2). Runtimes choose kernels by its content,
and ONNX Runtime crashes if it describes no Arm processor. qemu's option ``-L`` names a folder
whose files shadow those of this machine; it gets the ``/proc/cpuinfo`` of the processor.

Answers are those of the processor's instructions; times are meaningless.

Source: https://www.qemu.org/docs/master/user/main.html
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kit.errors import MissingTool, OutputError, UnknownName, UsageError
from kit.files import atomic
from kit.runners.native import RunnerSet

PROGRAMS = {
    "arm64-v8a": ("qemu-aarch64-static", "qemu-aarch64"),
    "x86_64": ("qemu-x86_64-static", "qemu-x86_64"),
}
_SECONDS = 30.0


@dataclass(frozen=True)
class Processor:
    """A processor that qemu can emulate.

    Attributes:
        name: as `kit verify` calls it.
        abi: of the programs it runs, as Android names it.
        about: its features that matter for int8 arithmetic.
        model: as qemu calls it.
        midr: CPU implementer and part, as an Arm processor's register MIDR_EL1 has them.
        right_since: first version of qemu that emulates it correctly; None if all do.
        fault: of earlier versions.
    """

    name: str
    abi: str
    about: str
    model: str
    midr: tuple[int, int] | None = None
    right_since: tuple[int, int] | None = None
    fault: str = ""


def _arm(name: str, about: str, implementer: int, part: int) -> Processor:
    return Processor(name, "arm64-v8a", about, name, (implementer, part))


# Tried with `max`: the int8 answers of ExecuTorch (XNNPACK, SME) are noise under qemu 7.2 and
# right under 10.0.
PROCESSORS = {
    processor.name: processor
    for processor in (
        Processor("nehalem", "x86_64", "SSE4.2, no AVX", "Nehalem"),
        Processor("haswell", "x86_64", "AVX2, no VNNI", "Haswell"),
        _arm("cortex-a35", "no dot product", 0x41, 0xD04),
        _arm("cortex-a53", "no dot product", 0x41, 0xD03),
        _arm("cortex-a55", "dot product", 0x41, 0xD05),
        _arm("cortex-a57", "no dot product", 0x41, 0xD07),
        _arm("cortex-a72", "no dot product", 0x41, 0xD08),
        _arm("cortex-a76", "dot product", 0x41, 0xD0B),
        _arm("cortex-a710", "dot product, i8mm, SVE2", 0x41, 0xD47),
        _arm("neoverse-n1", "dot product", 0x41, 0xD0C),
        _arm("neoverse-n2", "dot product, i8mm, SVE2", 0x41, 0xD49),
        _arm("neoverse-v1", "dot product, i8mm, SVE", 0x41, 0xD40),
        _arm("a64fx", "SVE of 512 bits, no dot product", 0x46, 0x001),
        Processor(
            "max",
            "arm64-v8a",
            "all that qemu can emulate, SME too",
            "max",
            (0x00, 0x051),
            right_since=(10, 0),
            fault="its SME instructions compute int8 products wrongly",
        ),
    )
}


@dataclass(frozen=True)
class Emulator:
    """An installed qemu.

    Attributes:
        program: path of the program.
        version: as numbers.
        models: names of the processors that it supports.
    """

    program: str
    version: tuple[int, ...]
    models: frozenset[str]

    @property
    def name(self) -> str:
        """Name and version, for messages."""
        return f"qemu {'.'.join(map(str, self.version))}"

    def fault_of(self, processor: Processor) -> str | None:
        """Return why this qemu's answers for a processor cannot be used, None if they can."""
        if processor.model not in self.models:
            return f"{self.name} does not know {processor.name}"
        if processor.right_since is not None and self.version < processor.right_since:
            return f"{self.name} emulates {processor.name} wrongly: {processor.fault}"
        return None


@functools.cache
def find_emulator(abi: str) -> Emulator:
    """Return the qemu for programs of an ABI.

    Raises:
        MissingTool: it is not installed, or its output is not understood.
    """
    names = PROGRAMS[abi]
    hint = "on Debian or Ubuntu: apt-get install qemu-user-static"
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        raise MissingTool(f"there is no {' or '.join(names)} to emulate {abi} with", hint)
    number = re.search(r"version (\d+)\.(\d+)\.(\d+)", _ask(program, "--version"))
    # A model is the first word of a line, after an optional architecture.
    models = re.findall(r"^(?:x86\s+|\s+)(\S+)", _ask(program, "-cpu", "help"), re.MULTILINE)
    if number is None or not models:
        raise MissingTool(f"{program} does not say its version and its processors", hint)
    return Emulator(program, tuple(map(int, number.groups())), frozenset(models))


def _ask(program: str, *words: str) -> str:
    try:
        done = subprocess.run(
            [program, *words], capture_output=True, text=True, errors="replace", timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise MissingTool(f"cannot run {program}: {exc}", "reinstall qemu-user-static") from exc
    return done.stdout


def find_processor(name: str) -> Processor:
    """Return a processor that the installed qemu emulates correctly.

    Raises:
        UnknownName: there is no such processor.
        UsageError: this qemu does not know it, or emulates it wrongly.
        MissingTool: qemu is not installed.
    """
    if name not in PROCESSORS:
        raise UnknownName.among("processor to emulate", name, PROCESSORS)
    processor = PROCESSORS[name]
    fault = find_emulator(processor.abi).fault_of(processor)
    if fault is not None:
        raise UsageError(fault, "use a newer qemu (10.0 supports all), or another processor")
    return processor


def list_usable_processors(abis: Iterable[str] = PROGRAMS) -> list[Processor]:
    """Return all processors that the installed qemu emulates correctly.

    Raises:
        MissingTool: qemu is not installed.
    """
    emulators = {abi: find_emulator(abi) for abi in abis}
    return [
        processor
        for processor in PROCESSORS.values()
        if processor.abi in emulators and emulators[processor.abi].fault_of(processor) is None
    ]


def make_command(runner: RunnerSet, processor: Processor, root: Path) -> list[str]:
    """Return the command of a runner on an emulated processor, without the runner's options.

    Args:
        runner: a runner in the cache, for the processor's ABI.
        processor: see `find_processor`.
        root: folder for ``proc/cpuinfo``, which must exist while the runner runs.

    Raises:
        MissingTool: qemu is not installed.
        OutputError: the folder cannot be written to.
    """
    words = [find_emulator(processor.abi).program, "-cpu", processor.model]
    if processor.midr is not None:
        _furnish(root, _cpuinfo(*processor.midr))
        words += ["-L", str(root)]
    return [*words, *runner.command(str(runner.folder))]


def _furnish(root: Path, cpuinfo: str) -> None:
    path = root / "proc" / "cpuinfo"
    try:
        atomic.write_file(path, cpuinfo)
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
