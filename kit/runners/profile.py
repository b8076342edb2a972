"""Times of single operators, out of the files that runners write with `--profile`.

ExecuTorch writes an ETDump, which its own Inspector reads; ONNX Runtime its JSON trace; for
torch the runner itself counts. See `kit.runners.protocol.Profile`.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import RunError
from kit.results.schema import MAX_COUNT, MAX_NS
from kit.runners import _etdump

_NUMBER = re.compile(r" #\d+$")
_NAME_LETTERS = 300
MAX_BYTES = 16 << 20  # of a file; ONNX Runtime writes 8 KB for each operator of a model


@dataclass(frozen=True)
class Row:
    """An operator of the model, in the order of the first call.

    Attributes:
        name: of this operator in the model, as the runtime calls it.
        type: what it computes; rows of a type can be added up.
        calls: how many inferences are in it.
        total_ns: of all calls.
        share: of the time of all operators, 0 to 1.
    """

    name: str
    type: str
    calls: int
    total_ns: int
    share: float

    @property
    def mean_ns(self) -> float:
        """Return the time of one call."""
        return self.total_ns / self.calls


_Found = list[tuple[str, str, int, float]]  # name, type, calls, ns of all of them


def read(path: Path, kind: str, samples: int) -> list[Row]:
    """Read a profile.

    Args:
        path: file on this machine.
        kind: of `kit.runners.protocol.Profile`.
        samples: inferences that were measured: only the last so many calls of each operator
            count, since ONNX Runtime's file begins before the warm-up.

    Raises:
        RunError: it is no such profile, or holds no operator.
    """
    readers = {"etdump": _of_etdump, "onnxruntime": _onnxruntime, "torch": _torch}
    try:
        rows = _rows(readers[kind](path, samples))
    except Exception as exc:  # a damaged ETDump raises whatever its parser stumbles over
        raise RunError(
            f"cannot read the {kind} profile {path}: {type(exc).__name__}: {exc}",
            "measure again with --profile",
        ) from exc
    if not rows:
        raise RunError(f"the {kind} profile {path} holds no operator", "measure again")
    return rows


def by_type(rows: Iterable[Row]) -> list[Row]:
    """Add up the rows of each type; the slowest comes first."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.type].append(row)
    sums = [
        Row(
            name=f"{len(group)} × {kind}",
            type=kind,
            calls=sum(row.calls for row in group),
            total_ns=sum(row.total_ns for row in group),
            share=sum(row.share for row in group),
        )
        for kind, group in groups.items()
    ]
    return sorted(sums, key=lambda row: -row.total_ns)


def _rows(found: _Found) -> list[Row]:
    for name, _, calls, total in found:
        if not 0 <= calls <= MAX_COUNT or not 0 <= total <= MAX_NS:
            raise ValueError(f"{name:.80} took {total:g} ns in {calls} calls")
    whole = sum(total for _, _, _, total in found) or 1.0
    return [
        Row(name[:_NAME_LETTERS], kind[:_NAME_LETTERS], calls, round(total), total / whole)
        for name, kind, calls, total in found
        if calls
    ]


def _of_etdump(path: Path, samples: int) -> _Found:
    rows = _etdump.read(path, samples)
    return [(name, _NUMBER.sub("", name), calls, ns) for name, calls, ns in rows]


def _onnxruntime(path: Path, samples: int) -> _Found:
    events = json.loads(path.read_text(encoding="utf-8"))
    nodes: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            nodes[event["name"], event["args"]["node_index"]].append(event)
    found = []
    for (name, _), calls in nodes.items():
        last = calls[-samples:]
        total = sum(float(call["dur"]) for call in last) * 1e3  # from microseconds
        kind = str(last[0]["args"]["op_name"])
        found.append((name.removesuffix("_kernel_time"), kind, len(last), total))
    return found


def _torch(path: Path, samples: int) -> _Found:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        (
            f"{line['name']} #{line['index']}" if "index" in line else str(line["name"]),
            str(line["name"]),
            int(line["calls"]),
            float(line["ns"]),
        )
        for line in lines
    ]
