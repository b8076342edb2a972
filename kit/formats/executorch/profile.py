"""Times of single operators from an ETDump."""

from __future__ import annotations

import re
from pathlib import Path

from kit.formats.executorch import etdump
from kit.formats.profiler import OperatorTime, Profiler

_NUMBER = re.compile(r" #\d+$")


class EtdumpProfiler(Profiler):
    """The native runner writes ETDumps; ExecuTorch's Python package cannot."""

    kind = "etdump"
    in_python = False

    def read(self, path: Path, samples: int) -> list[OperatorTime]:
        """Read a dump; the last `samples` calls of each operator count."""
        rows = etdump.read(path, samples)
        return [OperatorTime(n, _NUMBER.sub("", n), calls, ns) for n, calls, ns in rows]
