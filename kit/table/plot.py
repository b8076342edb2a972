"""The Pareto plot: accuracy over latency, with the size of the file as the area of a mark."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from kit.precisions import list_precisions, rank
from kit.report.canvas import INK, MUTED, RULE, Margins, open_canvas, set_log_axis
from kit.report.palette import PLACEHOLDER_COLOURS, SERIES
from kit.report.svg import Drawing, render_picture
from kit.report.text import format_significant
from kit.table.front import ParetoPoint, find_edge, find_points
from kit.table.overview import Overview
from kit.text import make_one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEIGHT = 380
_LEGEND = 18  # points for each of its lines
# A mark for each precision: these of the usual ones, then in the order of their bits.
_MARKS = {"fp32": "s", "fp16": "^", "int8": "o"}
_OTHER_MARKS = ("D", "v", "P", "X", "*", "h")
_AREA = 22.0  # square points for each MB
_MIN_AREA = 30.0
_NEAR = (16.0, 10.0)  # points between two marks, below which their numbers would overlap
_MIN_SPAN = 2.0  # percentage points: a smaller range would magnify noise


def draw(overview: Overview) -> Drawing | None:
    """Draw a mark for each row with accuracy, latency and size; None for fewer than two."""
    points, what = find_points(overview)
    if len(points) < 2 or overview.main is None:
        return None
    numbers = {id(row): number for number, row in enumerate(overview.rows, 1)}
    formats = list(dict.fromkeys(_series(point) for point in points))
    colours = {name: PLACEHOLDER_COLOURS[SERIES[i % len(SERIES)]] for i, name in enumerate(formats)}
    marks = choose_marks({point.row.key.precision for point in points})
    lines = math.ceil((len(formats) + len(marks)) / 3)
    margins = Margins(left=44, right=12, top=26 + lines * _LEGEND, bottom=40)
    with open_canvas(_HEIGHT + lines * _LEGEND, margins) as (figure, axes):
        _scale(axes, points, what)
        _front(axes, points)
        for point in sorted(points, key=lambda one: -one.size):
            _mark(axes, point, colours[_series(point)], marks[point.row.key.precision])
        _number(axes, points, numbers)
        _legend(axes, colours, marks, lines, margins)
        words = " ".join(_sentence(point) for point in points)
        title = f"{what.capitalize()}, latency and size, {make_one_line(overview.main.title)}"
        return render_picture(figure, "pareto", title, words)


def _series(point: ParetoPoint) -> str:
    return point.row.key.format  # its backends have the numbers of their rows


def _scale(axes: Axes, points: Sequence[ParetoPoint], what: str) -> None:
    low, high = min(p.accuracy for p in points), max(p.accuracy for p in points)
    room = max(0.4, 0.12 * (high - low), (_MIN_SPAN - (high - low)) / 2)
    axes.set_ylim(low - room, high + room)
    fast, slow = min(p.latency for p in points), max(p.latency for p in points)
    set_log_axis(axes, fast / 1.15, slow * 1.15)
    axes.grid(color=RULE, linewidth=0.8)
    axes.set_xlabel("median latency, ms (logarithmic)")
    axes.text(0, 1.02, f"{what}, %", transform=axes.transAxes, color=MUTED)
    axes.text(1, 1.02, "area: size of the file", transform=axes.transAxes, ha="right", color=MUTED)


def _front(axes: Axes, points: Sequence[ParetoPoint]) -> None:
    """Draw the edge of what is reached: the best accuracy within each latency."""
    x, y = zip(*find_edge(points), strict=True)
    axes.step(x, y, where="post", color=MUTED, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)


def choose_marks(names: Collection[str]) -> dict[str, str]:
    """Return the mark of each precision, those of most bits first; some repeat if many are new."""
    others = itertools.cycle(_OTHER_MARKS)
    known = {name: _MARKS.get(name) or next(others) for name in list_precisions()}
    return {name: known.get(name) or next(others) for name in sorted(names, key=rank)}


def _mark(axes: Axes, point: ParetoPoint, colour: str, mark: str) -> None:
    axes.scatter(
        [point.latency],
        [point.accuracy],
        s=_area(point),
        marker=mark,
        color=colour,
        alpha=0.75,
        edgecolors=INK if point.row.front else colour,
        linewidths=1.8 if point.row.front else 0.6,
        zorder=2,
    )


def _area(point: ParetoPoint) -> float:
    return max(_MIN_AREA, _AREA * point.size)


def _number(axes: Axes, points: Sequence[ParetoPoint], numbers: Mapping[int, int]) -> None:
    """Write the numbers of the rows at the marks; those of marks that touch in one list."""
    for group in group_touching(points, [_place(axes, point) for point in points]):
        last = max(group, key=lambda one: one.latency)
        side = math.sqrt(max(_area(point) for point in group)) / 2
        axes.annotate(
            ", ".join(str(number) for number in sorted(numbers[id(p.row)] for p in group)),
            (last.latency, max(point.accuracy for point in group)),
            xytext=(side + 2, side),
            textcoords="offset points",
            fontsize=9,
            color=INK,
            zorder=3,
        )


def _place(axes: Axes, point: ParetoPoint) -> tuple[float, float]:
    """Return the position of a mark in points."""
    x, y = axes.transData.transform((point.latency, point.accuracy))
    scale = 72 / axes.figure.dpi
    return x * scale, y * scale


def group_touching(
    points: Sequence[ParetoPoint], places: Sequence[tuple[float, float]]
) -> list[list[ParetoPoint]]:
    """Return the points in groups whose numbers would lie over each other.

    Args:
        points: to group.
        places: their positions, in points.
    """
    groups: list[list[int]] = []
    for index, (x, y) in enumerate(places):
        near = [
            group
            for group in groups
            if any(
                abs(x - places[i][0]) < _NEAR[0] and abs(y - places[i][1]) < _NEAR[1] for i in group
            )
        ]
        groups = [group for group in groups if group not in near]
        groups.append([*(i for group in near for i in group), index])
    return [[points[i] for i in group] for group in groups]


def _legend(
    axes: Axes, colours: dict[str, str], marks: dict[str, str], lines: int, margins: Margins
) -> None:
    """Name the colours and the marks, above the plot."""
    entries = [("o", colour, name) for name, colour in colours.items()]
    entries += [(mark, MUTED, name) for name, mark in marks.items()]
    for index, (mark, colour, name) in enumerate(entries):
        x, line = (index % 3) / 3 + 0.015, index // 3
        # Fractions of the axes' height, which is what is left of the page's.
        y = 1 + (margins.top - 12 - line * _LEGEND) / (_HEIGHT + lines * _LEGEND - margins.top - 40)
        axes.plot(
            [x], [y], mark, color=colour, markersize=8, transform=axes.transAxes, clip_on=False
        )
        axes.text(x + 0.03, y, name, va="center", transform=axes.transAxes, fontsize=10, color=INK)


def _sentence(point: ParetoPoint) -> str:
    front = ", on the front" if point.row.front else ""
    return (
        f"{make_one_line(point.row.label)}: {point.accuracy:.1f} %, "
        f"{format_significant(point.latency)} ms, "
        f"{point.size:.2f} MB{front}."
    )
