"""The plot of accuracy over size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kit.report import labels, text
from kit.report.accuracy import Accuracy, Measure, choose_measure
from kit.report.canvas import (
    INK,
    LABEL_BOX,
    MUTED,
    RULE,
    Margins,
    choose_colour,
    open_canvas,
    shorten,
    spread_positions,
)
from kit.report.palette import PLACEHOLDER_COLOURS
from kit.report.rows import Report, Row
from kit.report.svg import Drawing, render_picture
from kit.text import make_one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEIGHT = 300
_MARGINS = Margins(left=40, right=12, top=26, bottom=40)
_MIN_SPAN = 4.0  # percentage points: a smaller range would magnify noise
_LABEL_GAP = 0.06  # between labels, as a share of the height
_LABEL_LENGTH = 24
_RIGHT_HALF = 0.5
_MARKERS = {"fp32": "s", "fp16": "^", "int8": "o"}


@dataclass(frozen=True)
class ScatterPoint:
    """One file: size in MB, score in percent, half width of its 95 % interval in points."""

    row: Row
    label: str
    size: float
    score: float
    margin: float


def draw_size_and_accuracy(report: Report) -> Drawing | None:
    """Draw one point per file, all evaluated on the same pictures; None for fewer than two."""
    scored = _scored(report)
    measure = choose_measure([accuracy for _, accuracy in scored])
    points = _points(scored, measure)
    if len(points) < 2:
        return None
    what = measure.name
    with open_canvas(_HEIGHT, _MARGINS) as (figure, axes):
        _scales(axes, points, what)
        if measure.is_score:
            _reference(axes, scored, measure)
        _connect(axes, points)
        _marks(axes, points)
        _labels(axes, points)
        sentences = " ".join(_sentence(point) for point in points)
        return render_picture(figure, "size-accuracy", f"Size of the file and {what}", sentences)


def _scored(report: Report) -> list[tuple[Row, Accuracy]]:
    """Return one row per file and reference, on the picture set with the most evaluations."""
    rows = {(row.bundle.hash, row.key): row for row in report.rows if row.accuracy}
    evaluated = [(row, row.accuracy) for row in rows.values() if row.accuracy]
    scored = [(row, one) for row, one in evaluated if one.row.agreement is not None]
    sets = Counter(one.picture_set for row, one in scored if row.artifact)
    usual = max(sets, key=lambda s: (sets[s], s), default=None)
    return [(row, one) for row, one in scored if one.picture_set == usual]


def _points(scored: Sequence[tuple[Row, Accuracy]], measure: Measure) -> list[ScatterPoint]:
    files = [(row, accuracy, row.artifact.size / 1e6) for row, accuracy in scored if row.artifact]
    names = labels.make_unique(
        [labels.list_parts(r.bundle, r.key, r.quantize) for r, _, _ in files]
    )
    return [
        ScatterPoint(
            row,
            name,
            size,
            measure.read(accuracy) or 0.0,
            (accuracy.margin or 0.0) * measure.is_score,
        )
        for (row, accuracy, size), name in zip(files, names, strict=True)
    ]


def _sentence(point: ScatterPoint) -> str:
    return f"{make_one_line(point.label)}: {point.size:.2f} MB, {point.score:.1f} %."


def _scales(axes: Axes, points: Sequence[ScatterPoint], what: str) -> None:
    low = min(p.score - p.margin for p in points)
    high = max(p.score + p.margin for p in points)
    room = max(0.5, (_MIN_SPAN - (high - low)) / 2)
    axes.set_ylim(low - room, high + room)
    axes.set_xlim(0, 1.12 * max(p.size for p in points) or 1)
    axes.locator_params(nbins=6)
    axes.grid(color=RULE, linewidth=0.8)
    axes.set_xlabel("size of the file, MB")
    axes.text(0, 1.04, f"{what}, %", transform=axes.transAxes, color=MUTED)


def _reference(axes: Axes, scored: Sequence[tuple[Row, Accuracy]], measure: Measure) -> None:
    """Draw the score of the eager float model as a line, as it has no file size."""
    scores = {score for row, one in scored if row.reference and (score := measure.read(one))}
    for score in sorted(scores):
        axes.axhline(score, color=PLACEHOLDER_COLOURS["eager"], linewidth=1.2, dashes=(5, 3))
    if scores:
        listed = ", ".join(text.format_percent(score / 100) for score in sorted(scores))
        axes.text(
            1,
            1.04,
            f"dashed: eager fp32, {listed}",
            transform=axes.transAxes,
            ha="right",
            color=PLACEHOLDER_COLOURS["eager"],
        )


def _connect(axes: Axes, points: Sequence[ScatterPoint]) -> None:
    """Connect the fp32 file of a format with its int8 files."""
    for start in (p for p in points if not p.row.quantized):
        for end in (p for p in points if p.row.quantized):
            same_model = start.row.bundle.model == end.row.bundle.model
            if same_model and start.row.key.format == end.row.key.format:
                axes.plot(
                    [start.size, end.size], [start.score, end.score], color=MUTED, linewidth=0.8
                )


def _marks(axes: Axes, points: Sequence[ScatterPoint]) -> None:
    for p in points:
        if p.margin:
            axes.vlines(
                p.size,
                p.score - p.margin,
                p.score + p.margin,
                color=choose_colour(p.row),
                alpha=0.6,
            )
        marker = _MARKERS.get(p.row.key.precision, "D")
        axes.plot(
            p.size, p.score, marker, color=choose_colour(p.row), markersize=8, markeredgewidth=0
        )


def _labels(axes: Axes, points: Sequence[ScatterPoint]) -> None:
    """Label the points: in the left half to their right, else to their left."""
    wide = axes.get_xlim()[1]
    left = [p for p in points if p.size < _RIGHT_HALF * wide]
    right = [p for p in points if p.size >= _RIGHT_HALF * wide]
    places = place_labels([p.score for p in left], [p.score for p in right], axes.get_ylim())
    _column(axes, left, places[0], max((p.size for p in left), default=0) + 0.04 * wide, "left")
    _column(axes, right, places[1], min((p.size for p in right), default=0) - 0.04 * wide, "right")


def place_labels(
    left: Sequence[float], right: Sequence[float], limits: tuple[float, float]
) -> tuple[list[float], list[float]]:
    """Return the heights of the labels of two columns, which may meet in the middle.

    No two of both are at one height, if there is room for that.
    """
    low, high = limits
    gap = _LABEL_GAP * (high - low)
    if (len(left) + len(right) + 1) * gap > high - low:
        return spread_positions(left, gap, low + gap, high - gap), spread_positions(
            right, gap, low + gap, high - gap
        )
    together = spread_positions([*left, *right], gap, low + gap, high - gap)
    return together[: len(left)], together[len(left) :]


def _column(
    axes: Axes, points: Sequence[ScatterPoint], places: Sequence[float], x: float, align: str
) -> None:
    for p, y in zip(points, places, strict=True):
        axes.plot([p.size, x], [p.score, y], color=RULE, linewidth=0.8, zorder=1)
        axes.text(
            x, y, shorten(p.label, _LABEL_LENGTH), ha=align, va="center", color=INK, bbox=LABEL_BOX
        )
