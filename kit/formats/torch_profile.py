"""Times of single operators from torch's profiler, shared by several formats."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from kit.formats.interface import Session
from kit.formats.profiler import OperatorTime, Profiler

if TYPE_CHECKING:
    from torch.autograd.profiler_util import FunctionEventAvg


class TorchProfiler(Profiler):
    """The profiler of torch; runners write a line of JSON per operator: name, calls, ns, index.

    Args:
        load: loads a model file on a number of threads.
    """

    kind = "torch"

    def __init__(self, load: Callable[[Path, int], Session]) -> None:
        self._load = load

    def load(self, path: Path, threads: int, target: Path) -> Session:
        """Load a model; torch records all operators of the process."""
        return self._load(path, threads)

    def start(self, session: Session) -> Callable[[Path], None]:
        """Start to record; the returned function ends it and writes a file."""
        from torch.profiler import ProfilerActivity, profile

        recorded = profile(activities=[ProfilerActivity.CPU])
        recorded.start()

        def end(target: Path) -> None:
            recorded.stop()
            _write(recorded.key_averages(), target)

        return end

    def read(self, path: Path, samples: int) -> list[OperatorTime]:
        """Read the lines; the runner counted no more than `samples` calls of each."""
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [
            OperatorTime(
                f"{line['name']} #{line['index']}" if "index" in line else str(line["name"]),
                str(line["name"]),
                int(line["calls"]),
                float(line["ns"]),
            )
            for line in lines
        ]


def _write(averages: Iterable[FunctionEventAvg], target: Path) -> None:
    rows = [
        {"name": row.key, "calls": row.count, "ns": round(row.self_cpu_time_total * 1e3)}
        for row in averages
    ]
    target.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
