"""The Python runner: `python -m kit.runners.python --format onnx --model …`.

Implements `kit.runners.protocol`. Imports are not timed, the garbage collector is off while
samples are taken, and the runtimes' own output is redirected to stderr.
"""

from __future__ import annotations

import argparse
import gc
import math
import mmap
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import NoReturn

import kit
from kit import formats
from kit.devices.hostinfo import parse_status_bytes, read_text
from kit.devices.local import PARENT
from kit.errors import KitError
from kit.formats.interface import Format, Session
from kit.formats.profiler import Profiler
from kit.runners import affinity, profile, protocol
from kit.runners.protocol import Exit, Request
from kit.signature import Samples, describe, format_specs, join, parse_specs, unpack

FLUSH_NS = 2_000_000_000
# The clock of the native runner, if the system has it: NTP does not slew it.
_CLOCK = "CLOCK_MONOTONIC_RAW" if hasattr(time, "CLOCK_MONOTONIC_RAW") else "perf_counter"
_clock: Callable[[], int] = (
    partial(time.clock_gettime_ns, time.CLOCK_MONOTONIC_RAW)
    if hasattr(time, "CLOCK_MONOTONIC_RAW")
    else time.perf_counter_ns
)


class _StageError(Exception):
    """An error in a stage."""

    def __init__(self, stage: Exit, message: str) -> None:
        super().__init__(message)
        self.stage = stage


class _Line:
    """Writer of events to the stdout that kit reads, each flushed at once."""

    def __init__(self, descriptor: int) -> None:
        self._file = os.fdopen(descriptor, "w", encoding="utf-8")

    def write(self, event: protocol.Event) -> None:
        try:
            self._file.write(protocol.dump(event) + "\n")
            self._file.flush()
        except OSError:  # a full disk, which cannot be reported in a line
            os._exit(int(Exit.OUTPUT))


@contextmanager
def _stage(stage: Exit) -> Iterator[None]:
    """Convert any exception to a failure of a stage: runtimes raise various types."""
    try:
        yield
    except KitError as exc:
        raise _StageError(stage, exc.message) from exc
    except Exception as exc:
        raise _StageError(stage, f"{type(exc).__name__}: {exc}") from exc


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _StageError(Exit.USAGE, message)


def parse(arguments: Sequence[str]) -> Request:
    """Parse the options of a runner; the inverse of `Request.arguments`."""
    parser = _Parser(prog="kit.runners.python", allow_abbrev=False, add_help=False)
    kinds: dict[str, Callable[[str], object]] = {"int": int, "float": _seconds, "str": str}
    for item in fields(Request):
        kind = kinds[str(item.type)]
        parser.add_argument(
            protocol.name_option(item.name), dest=item.name, type=kind, required=True
        )
    request = Request(**vars(parser.parse_args(arguments)))
    if min(request.threads, request.iters, request.rows) < 1 or request.warmup < 0:
        raise _StageError(Exit.USAGE, "--threads, --iters, --rows: 1 or more; --warmup: 0 or more")
    with _stage(Exit.USAGE):
        affinity.check(request.cpus)
        parse_specs(request.inputs)
    return request


def _seconds(text: str) -> float:
    number = float(text)
    if not math.isfinite(number) or number < 0:
        raise ValueError(text)
    return number


def _measure(request: Request, line: _Line) -> None:
    if request.cpus:
        with _stage(Exit.AFFINITY):
            affinity.use(request.cpus)
    with _stage(Exit.LOAD):
        format_ = formats.get_format(request.format)
    with _stage(Exit.PROFILE):
        profiler = profile.find_python_profiler(request.format) if request.profile else None
    _start(format_, request, line)
    base = _forget_peak()
    with _stage(Exit.LOAD):
        began = _clock()
        session = _load(format_, profiler, request)
        line.write(protocol.Load(ns=_clock() - began))
    with _stage(Exit.INPUT):
        inputs = _inputs(request)
        call = session.bind(inputs[0])
    with _stage(Exit.RUN):
        _warm_up(call, request, line)
    with _stage(Exit.PROFILE):
        finish = None if profiler is None else profiler.start(session)
    with _stage(Exit.RUN):
        count, cpu, answer = _sample(call, request, line)
    if finish is not None:
        with _stage(Exit.PROFILE):
            finish(Path(request.profile))
    line.write(protocol.Mem(peak_rss=_peak(), base_rss=base, os_threads=_os_threads()))
    with _stage(Exit.RUN):
        # Copied before the next inference, which may overwrite this one's answer.
        rows = [session.read(answer)]
        rows += [session.read(session.bind(inputs[i])()) for i in range(1, len(inputs))]
        specs = tuple(describe(str(number), value) for number, value in enumerate(rows[0]))
        answers = join(specs, rows)
    with _stage(Exit.OUTPUT):
        Path(request.out).write_bytes(answers.pack())
    line.write(protocol.Out(path=request.out, tensors=format_specs(specs)))
    if profiler is not None:
        line.write(protocol.Profile(path=request.profile, kind=profiler.kind))
    line.write(protocol.End(count=count, cpu_ns=cpu))


def _start(format_: Format, request: Request, line: _Line) -> None:
    """Load the runtime, and report versions, threads and cores."""
    with _stage(Exit.LOAD):
        threads_reported = format_.prepare(request.threads)
        format_.check(Path(request.model))
        versions = {
            "kit": kit.__version__,
            "runner": "python",
            "python": platform.python_version(),
            format_.runtime: format_.read_version(),
        }
    line.write(
        protocol.Start(
            protocol=protocol.VERSION,
            pid=os.getpid(),
            threads=request.threads,
            obeyed=threads_reported,
            versions=versions,
            cpus=affinity.get_mask(),
            page=mmap.PAGESIZE,
            clock=_CLOCK,
        )
    )


def _load(format_: Format, profiler: Profiler | None, request: Request) -> Session:
    model = Path(request.model)
    if profiler is not None:
        return profiler.load(model, request.threads, Path(request.profile))
    return format_.load(model, request.threads)


def _inputs(request: Request) -> Samples:
    """Return the inputs from the request's file."""
    samples = unpack(parse_specs(request.inputs), Path(request.input).read_bytes())
    if len(samples) != request.rows:
        raise ValueError(f"{request.input} holds {len(samples)} inputs, not {request.rows}")
    return samples


def _warm_up(call: Callable[[], object], request: Request, line: _Line) -> None:
    """Run and report the first inference and the warm-up."""
    gc.collect()
    gc.freeze()
    gc.disable()
    began = _clock()
    call()
    line.write(protocol.First(ns=_clock() - began))
    warmed, began = 0, _clock()
    while warmed < request.warmup or _clock() - began < request.warmup_seconds * 1e9:
        call()
        warmed += 1
    line.write(protocol.Warm(count=warmed, ns=_clock() - began))


def _sample(call: Callable[[], object], request: Request, line: _Line) -> tuple[int, int, object]:
    """Take the samples.

    Returns:
        Number of samples, CPU nanoseconds of all threads, the last answer.
    """
    cpu = time.process_time_ns()
    count, answer = _loop(call, request, line)
    return count, time.process_time_ns() - cpu, answer


def _loop(call: Callable[[], object], request: Request, line: _Line) -> tuple[int, object]:
    minimum, maximum = int(request.min_seconds * 1e9), int(request.max_seconds * 1e9)
    samples: list[int] = []
    count = 0
    _stop_if_orphaned()
    began = flushed = now = _clock()
    while (count < request.iters or now - began < minimum) and (now - began < maximum or not count):
        start = _clock()
        answer = call()
        now = _clock()
        samples.append(now - start)
        count += 1
        if now - flushed > FLUSH_NS:  # not part of the timed span
            line.write(protocol.Iter(ns=tuple(samples)))
            samples, flushed = [], _clock()
            _stop_if_orphaned()
    if samples:
        line.write(protocol.Iter(ns=tuple(samples)))
    return count, answer


def _stop_if_orphaned() -> None:
    """Exit if kit was killed, so as not to disturb the next measurement."""
    parent = os.environ.get(PARENT)
    if parent is not None and os.getppid() != int(parent):
        raise InterruptedError("kit has gone away")


def _forget_peak() -> int | None:
    """Reset the peak of memory, and return the current usage. Linux only.

    https://docs.kernel.org/filesystems/proc.html, clear_refs
    """
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return None
    return parse_status_bytes(read_text(Path("/proc/self/status")), "VmRSS")


def _peak() -> int:
    peak = parse_status_bytes(read_text(Path("/proc/self/status")), "VmHWM")
    if peak is not None:
        return peak
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _os_threads() -> int | None:
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.is_dir() else None


def main(arguments: Sequence[str]) -> int:
    """Run once and return the exit code; see `kit.runners.protocol.Exit`."""
    line = _Line(os.dup(1))
    os.dup2(2, 1)  # runtimes print to stdout, also from C: keep the protocol clean
    try:
        _measure(parse(arguments), line)
    except _StageError as fault:
        line.write(protocol.Error(at=fault.stage.name.lower(), msg=str(fault)))
        return int(fault.stage)
    return int(Exit.OK)


if __name__ == "__main__":
    # Without destructors: some runtimes hang or crash in theirs.
    os._exit(main(sys.argv[1:]))
