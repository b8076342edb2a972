"""Times of single operators in the Python runner, written as `kit.runners.profile` reads them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

from kit.errors import RunError

KINDS: dict[str, Literal["onnxruntime", "torch"]] = {"onnx": "onnxruntime", "lite": "torch"}


def kind(format: str) -> Literal["onnxruntime", "torch"]:
    """Return what the profile of a format is written as.

    Raises:
        RunError: its runtime has no profiler that Python can reach.
    """
    if format not in KINDS:
        raise RunError(
            f"the Python runner cannot profile {format}",
            "the native runner can: kit runner build",
        )
    return KINDS[format]


def begin(format: str, session: Any) -> Callable[[Path], None]:
    """Profile what runs from here on; call what is returned to end it and write a file.

    ONNX Runtime profiles a session that was loaded for it from its creation on.
    """
    if format == "onnx":
        return lambda target: _move(session.end_profile(), target)
    from torch.profiler import ProfilerActivity, profile

    recorded = profile(activities=[ProfilerActivity.CPU])
    recorded.start()

    def end(target: Path) -> None:
        recorded.stop()
        _write(recorded.key_averages(), target)

    return end


def _move(written: str, target: Path) -> None:
    Path(written).replace(target)


def _write(averages: Iterable[Any], target: Path) -> None:
    rows = [
        {"name": row.key, "calls": row.count, "ns": round(row.self_cpu_time_total * 1e3)}
        for row in averages
    ]
    target.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
