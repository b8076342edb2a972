"""Times of single operators from LiteRT's profiler, as the native runner writes them."""

from __future__ import annotations

import json
from pathlib import Path

from kit.formats.profiler import OperatorTime, Profiler


class LiteRtProfiler(Profiler):
    """The native runner writes a line of JSON per operator; the Python package has no profiler.

    LiteRT counts whole microseconds, so short operators need many inferences.
    """

    kind = "litert"
    in_python = False

    def read(self, path: Path, samples: int) -> list[OperatorTime]:
        """Read the lines; the runner counted no more than `samples` calls of each."""
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [
            OperatorTime(
                f"{line['name']} #{line['index']}",
                str(line["name"]),
                int(line["calls"]),
                float(line["ns"]),
            )
            for line in lines
        ]
