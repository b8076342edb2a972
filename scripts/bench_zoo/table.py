"""The table of docs/zoo.md, made of one JSON per network."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench_zoo.models import FORMATS, MODELS, ZooModel

HEADS = (
    "network",
    "px",
    "weights",
    "format",
    "MB fp32, int8",
    "SQNR dB",
    "agreement %",
    "delegated",
    "ms fp32, int8",
    "int8 faster by",
    "computes in float",
)
_MOST = 4  # operators that a cell names


def format_table(rows: Iterable[dict[str, Any]]) -> str:
    """Return the table in Markdown, then the refusals with their reasons.

    Args:
        rows: as `bench_zoo.measuring.measure` returned them.
    """
    by_name = {row["name"]: row for row in rows}
    lines = [f"| {' | '.join(HEADS)} |", f"|{'---|' * len(HEADS)}"]
    refused: list[str] = []
    missing = []
    for model in MODELS:
        row = by_name.get(model.name)
        if row is None:
            missing.append(model.title)
            continue
        if "refused" in row:
            refused.append(f"- **{model.title}**: {row['refused']}")
            continue
        for index, name in enumerate(FORMATS):
            entry = row["formats"].get(name, {})
            cells = _list_cells(model, entry, index == 0)
            lines.append(f"| {' | '.join([*cells[:3], name, *cells[3:]])} |")
            for precision, why in entry.get("refused", {}).items():
                reason = _clean(why["reason"])
                refused.append(f"- **{model.title}**, {name}-{precision}: {reason}")
    parts = ["\n".join(lines)]
    if refused:
        parts.append("\n".join(["Refused:", "", *refused]))
    if missing:
        parts.append(f"Not measured in this run: {', '.join(missing)}.")
    return "\n\n".join(parts)


def _list_cells(model: ZooModel, entry: dict[str, Any], first: bool) -> list[str]:
    title = model.title + (f" ({model.about})" if model.about else "")
    weights = "trained" if model.trained else "random"
    head = (
        [title, str(model.size or "–"), f"{weights}, {model.quantize}"] if first else ["", "", ""]
    )
    fp32, int8 = entry.get("fp32"), entry.get("int8")
    sizes = [f"{one['bytes'] / 1e6:.2f}" if one else "refused" for one in (fp32, int8)]
    if int8 is None:
        return [*head, ", ".join(sizes), "–", "–", "–", "–", "–", "–"]
    evaluated = entry.get("evaluated", {})
    decibels = evaluated.get("sqnr_db", int8["sqnr_db"])
    shown = "equal" if decibels is None else f"{decibels:.1f}"
    agreement = evaluated.get("agreement")
    return [
        *head,
        ", ".join(sizes),
        shown if model.trained else f"({shown})",
        "–" if agreement is None else f"{100 * agreement:.1f}",
        _share(int8),
        *_times(entry.get("latency")),
        _name_floats(int8),
    ]


def _share(int8: dict[str, Any]) -> str:
    rest = sum(int8["not_delegated"].values())
    if not int8["delegated"]:
        return "–"
    return f"{int8['delegated']} of {int8['delegated'] + rest}"


def _times(latency: dict[str, Any] | None) -> tuple[str, str]:
    if latency is None:
        return "–", "–"
    low, high = latency["interval"]
    ratio = f"{latency['speed_up']:.2f}× ({low:.2f} to {high:.2f})"
    if latency["speed_up"] < 1:
        ratio = f"**{ratio}, slower**"
    return f"{latency['fp32_ms']:.3g}, {latency['int8_ms']:.3g}", ratio


def _name_floats(int8: dict[str, Any]) -> str:
    kernels = {
        name: count
        for name, count in int8["not_delegated"].items()
        if any(word in name for word in ("norm", "softmax"))
    }
    counts = {**int8["computed_in_float"], **kernels}
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    names = [f"{_shorten(name)} ×{count}" for name, count in ranked[:_MOST]]
    rest = len(ranked) - _MOST
    return ", ".join(names) + (f", {rest} more kinds" if rest > 0 else "") or "nothing"


def _shorten(name: str) -> str:
    return name.removeprefix("xnnpack::").removeprefix("aten::").removesuffix(".default")


def _clean(reason: str) -> str:
    """Return the first line of a reason, without folders of this machine."""
    line = reason.splitlines()[0]
    return line.replace(f"{Path(__file__).with_name('networks.py')}", "networks.py")


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """Return the networks whose JSON is in a folder."""
    return [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))]
