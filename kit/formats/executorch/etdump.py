"""Read times of operators from the bytes of an ETDump.

A dump is a flatbuffer (`executorch/devtools/etdump/etdump_schema_flatcc.fbs`, identifier ED00)
behind its size. ExecuTorch's `Inspector` reads it too, by `flatc` and the whole exporter, whose
import takes seconds and a gigabyte. As in `program`, the few fields that are read are hard-coded,
and a damaged file raises an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kit.files import untrusted
from kit.formats.executorch.flat_table import I32, U32, U64, FlatTable

_MAX_BYTES = 16 << 20
_IDENTIFIER = b"ED00"
_RUN = "Execute"  # of one inference; others are of loading
# ExecuTorch's events around operators, whose times include the operators'.
_FRAMES = {"DELEGATE_CALL", "OPERATOR_CALL", "Method::execute", "Method::init"}
_TABLE_BYTES = 8  # fewer than any table of these takes, without its texts

_Operator = tuple[str, int, int]  # name, and chain and number of its instruction


def read(path: Path, samples: int) -> list[tuple[str, int, float]]:
    """Return name, calls and nanoseconds of each operator; the last `samples` calls count.

    Raises:
        ValueError: it is no ETDump, or a damaged one.
        struct.error: it is damaged.
        OSError: it cannot be read, or is too large.
    """
    data = untrusted.read_file(path, _MAX_BYTES)
    if data[8:12] != _IDENTIFIER or U32.unpack_from(data)[0] != len(data) - 4:
        raise ValueError("it is no ETDump")
    calls: dict[_Operator, list[int]] = {}
    for run in _runs(FlatTable.root(data[4:]), _Budget(len(data))):
        for operator, ns in run.items():
            calls.setdefault(operator, []).append(ns)
    rows = ((operator[0], times[-samples:]) for operator, times in calls.items())
    return [(name, len(times), float(sum(times))) for name, times in rows]


class _Budget:
    """The bytes of a file that no table has been read from.

    Tables may be referred to more than once, so that a small file could have events without end.
    """

    def __init__(self, size: int) -> None:
        self._left = size

    def text(self, table: FlatTable, field: int) -> str:
        """Return a text of a table."""
        octets = table.octets(field)
        self.take(len(octets))
        return octets.decode()

    def take(self, count: int = _TABLE_BYTES) -> None:
        """Count bytes that were read.

        Raises:
            ValueError: there are no more than that.
        """
        self._left -= count
        if self._left < 0:
            raise ValueError("its parts take more bytes than it has")


def _runs(dump: FlatTable, budget: _Budget) -> Iterator[dict[_Operator, int]]:
    """Yield the time of each operator in each inference."""
    for run in dump.tables(1):
        budget.take()
        if budget.text(run, 0) != _RUN:
            continue
        times: dict[_Operator, int] = {}
        for event in run.tables(3):
            budget.take()
            if not event.has(0):  # of memory, not of time
                continue
            profiled = event.table(0)
            name = _name(profiled, budget)
            if name not in _FRAMES:
                operator = (name, profiled.number(1, I32), profiled.number(2, I32))
                ns = profiled.number(7, U64) - profiled.number(6, U64)
                times[operator] = times.get(operator, 0) + ns
        yield times


def _name(profiled: FlatTable, budget: _Budget) -> str:
    """Return what a delegate calls its operator, or the name of a kernel."""
    number = profiled.number(3, I32) if profiled.has(3) else -1
    if number != -1:
        return str(number)
    return budget.text(profiled, 4) or budget.text(profiled, 0)
