"""Read times of single operators from the files that runners write with `--profile`.

Each format reads its own files (`kit.formats.profiler.Profiler`).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from kit import formats
from kit.errors import RunError
from kit.formats.profiler import OperatorTime, Profiler
from kit.results.latency import Operator
from kit.results.schema import MAX_COUNT, MAX_NS

_NAME_LETTERS = 300
MAX_BYTES = 16 << 20  # of a file; ONNX Runtime writes 8 KB for each operator of a model


def find_profiler(format: str) -> Profiler:
    """Return the profiler of a format.

    Raises:
        RunError: there is none.
    """
    profiler = formats.get_format(format).profiler
    if profiler is None:
        raise RunError(f"operators of {format} cannot be timed", "measure without --profile")
    return profiler


def find_python_profiler(format: str) -> Profiler:
    """Return the profiler of a format in Python's runner.

    Raises:
        RunError: the runtime's Python package cannot.
    """
    profiler = formats.get_format(format).profiler
    if profiler is None or not profiler.in_python:
        raise RunError(
            f"the Python runner cannot profile {format}",
            "the native runner can: kit runner build",
        )
    return profiler


def read_operators(path: Path, format: str, kind: str, samples: int) -> tuple[Operator, ...]:
    """Read a profile; operators come in the order of their first call.

    Args:
        path: file on this machine.
        format: that was measured.
        kind: of the file, as the runner calls it.
        samples: number of measured inferences: only the last `samples` calls of each operator
            count, since ONNX Runtime's file begins before the warm-up.

    Raises:
        RunError: it is no such profile, or holds no operator.
    """
    profiler = find_profiler(format)
    try:
        if kind != profiler.kind:
            raise ValueError(f"profiles of {format} are of the kind {profiler.kind}")
        operators = tuple(_operators(profiler.read(path, samples)))
    except Exception as exc:  # parsers raise various errors for damaged files
        raise RunError(
            f"cannot read the {kind} profile {path}: {type(exc).__name__}: {exc}",
            "measure again with --profile",
        ) from exc
    if not operators:
        raise RunError(f"the {kind} profile {path} holds no operator", "measure again")
    return operators


def _operators(times: Iterable[OperatorTime]) -> Iterable[Operator]:
    for one in times:
        if not 0 <= one.calls <= MAX_COUNT or not 0 <= one.ns <= MAX_NS:
            raise ValueError(f"{one.name:.80} took {one.ns:g} ns in {one.calls} calls")
        if one.calls:
            yield Operator(
                name=one.name[:_NAME_LETTERS],
                type=one.type[:_NAME_LETTERS],
                calls=one.calls,
                total_ns=round(one.ns),
            )
