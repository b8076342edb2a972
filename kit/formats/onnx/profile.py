"""Times of single operators from ONNX Runtime's JSON trace."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict, cast

from kit.formats.interface import Session
from kit.formats.profiler import OperatorTime, Profiler

_ADDED = re.compile(r"(?:_token_\d+|_nchwc|_quant|_fused|_transformed)$")


class _Event(TypedDict, total=False):
    """The used fields of an event in a trace."""

    cat: str
    name: str
    dur: float
    args: dict[str, str]


class OrtProfiler(Profiler):
    """ONNX Runtime records a session from its creation, including the warm-up."""

    kind = "onnxruntime"

    def load(self, path: Path, threads: int, target: Path) -> Session:
        """Load a session that records to a file next to `target`."""
        from kit.formats.onnx.session import load_session

        return load_session(path, threads, profile=target)

    def start(self, session: Session) -> Callable[[Path], None]:
        """Return a function that ends the recording, which began when the file was loaded."""
        from kit.formats.onnx.session import OrtSession

        recording = cast(OrtSession, session)
        return lambda target: _move(recording.end_profile(), target)

    def name_nodes(self, operator: str) -> tuple[str, ...]:
        """Return a name without what the optimizer adds to it as it fuses and lays out nodes."""
        plain = operator
        while (shorter := _ADDED.sub("", plain)) != plain:
            plain = shorter
        return (operator, plain)

    def read(self, path: Path, samples: int) -> list[OperatorTime]:
        """Read a trace; the last `samples` calls of each node count."""
        events: list[_Event] = json.loads(path.read_text(encoding="utf-8"))
        nodes: dict[tuple[str, str], list[_Event]] = defaultdict(list)
        for event in events:
            if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
                nodes[event["name"], event["args"]["node_index"]].append(event)
        times = []
        for (name, _), calls in nodes.items():
            last = calls[-samples:]
            total = sum(float(call["dur"]) for call in last) * 1e3  # from microseconds
            kind = str(last[0]["args"]["op_name"])
            times.append(OperatorTime(name.removesuffix("_kernel_time"), kind, len(last), total))
        return times


def _move(written: str, target: Path) -> None:
    Path(written).replace(target)
