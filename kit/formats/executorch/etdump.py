"""Read operators of an ETDump, in a process with limits, as the file is from a device.

    python -m kit.formats.executorch.etdump FILE SAMPLES MEMORY_BYTES FILE_BYTES

prints a JSON list of [name, calls, nanoseconds]. ExecuTorch turns the file into JSON with its
`flatc`, which writes a shared part once per reference, so the output can be huge.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kit import files

_ANSWER_BYTES = 16 << 20
_COMMAND = (sys.executable, "-P", "-m", "kit.formats.executorch.etdump")
# ExecuTorch's events around operators, whose times include the operators'.
_FRAMES = {"DELEGATE_CALL", "OPERATOR_CALL", "Method::execute", "Method::init"}


@dataclass(frozen=True)
class Limits:
    """Limits of reading a file.

    Attributes:
        memory_bytes: of data; importing torch takes a gigabyte.
        file_bytes: of the intermediate JSON.
    """

    seconds: float = 180.0
    memory_bytes: int = 8 << 30
    file_bytes: int = 256 << 20


def read(path: Path, samples: int, limits: Limits = Limits()) -> list[tuple[str, int, float]]:
    """Return name, calls and nanoseconds of each operator; the last `samples` calls count.

    Raises:
        ValueError: the file cannot be read within the limits.
        OSError: there is no space for intermediate files.
    """
    with files.temporary_folder() as folder:
        answer, log = folder / "answer", folder / "log"
        with answer.open("wb") as out, log.open("wb") as err:
            numbers = (samples, limits.memory_bytes, limits.file_bytes)
            child = subprocess.Popen(
                [*_COMMAND, str(path), *map(str, numbers)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**os.environ, "TMPDIR": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)},
                start_new_session=True,
            )
        try:
            code = child.wait(limits.seconds)
        except subprocess.TimeoutExpired:
            raise ValueError(f"it takes longer than {limits.seconds:g} s") from None
        finally:
            _end(child)
        if code != 0:
            last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            raise ValueError(last[0][:300] if last else f"exit code {code}")
        rows = json.loads(files.read(answer, _ANSWER_BYTES))
    return [(str(name), int(calls), float(ns)) for name, calls, ns in rows]


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill the child and its children."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _operators(path: Path, samples: int) -> list[tuple[str, int, float]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about missing tensors, which are not recorded on purpose
        from executorch.devtools import Inspector

        blocks = Inspector(etdump_path=str(path)).event_blocks
    operators = []
    for event in (event for block in blocks if block.name == "Execute" for event in block.events):
        if event.name not in _FRAMES:
            ms = event.perf_data.raw[-samples:]  # the Inspector's unit
            operators.append((event.name, len(ms), sum(ms) * 1e6))
    return operators


def main(path: str, samples: str, memory_bytes: str, file_bytes: str) -> None:
    """Read a file within the limits and print its operators."""
    resource.setrlimit(resource.RLIMIT_DATA, (int(memory_bytes),) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(file_bytes),) * 2)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries print to stdout
    with out:
        json.dump(_operators(Path(path), int(samples)), out)


if __name__ == "__main__":
    main(*sys.argv[1:])
