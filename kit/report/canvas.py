"""Common parts of the plots: size, axes, labelled rows, dots.

Plots are 380 points wide, so that a phone shows them at nearly their own size and
a desktop two next to each other. Heights grow with the number of rows.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kit.report import labels
from kit.report.palette import PLACEHOLDER_COLOURS
from kit.report.rows import Row
from kit.text import make_one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

WIDTH = 380
INK, MUTED, RULE = (
    PLACEHOLDER_COLOURS["ink"],
    PLACEHOLDER_COLOURS["muted"],
    PLACEHOLDER_COLOURS["rule"],
)
LABEL_BOX = {
    "facecolor": PLACEHOLDER_COLOURS["card"],
    "edgecolor": "none",
    "pad": 1,
}  # hides the grid
_POINTS_PER_INCH = 72
_TITLE_LENGTH = 50  # characters of both sides together
_STYLE: dict[RcKeyType, object] = {
    "svg.fonttype": "none",  # keeps text accessible, searchable and scalable
    "svg.hashsalt": "kit",  # equal results give equal files
    "text.parse_math": False,  # dollar signs in names are literal
    "path.simplify": False,
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
}


@dataclass(frozen=True)
class Margins:
    """Room around the axes, in points."""

    left: float = 16
    right: float = 10
    top: float = 4
    bottom: float = 38


@contextmanager
def open_canvas(height: float, margins: Margins) -> Iterator[tuple[Figure, Axes]]:
    """Yield a figure of this height and its axes without a frame, with y downwards in points.

    The figure must be rendered inside the block, which sets its style.
    """
    from matplotlib import rc_context, style
    from matplotlib.figure import Figure

    # Reset to defaults: a user's matplotlibrc may use LaTeX or other colours.
    with style.context("default"), rc_context(_STYLE), warnings.catch_warnings():
        # The page's font renders the text, so missing glyphs in Matplotlib's do not matter.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure = Figure(figsize=(WIDTH / _POINTS_PER_INCH, height / _POINTS_PER_INCH))
        wide = WIDTH - margins.left - margins.right
        high = height - margins.top - margins.bottom
        axes = figure.add_axes(
            (margins.left / WIDTH, margins.bottom / height, wide / WIDTH, high / height)
        )
        axes.set_ylim(high, 0)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        axes.set_axisbelow(True)
        yield figure, axes


def set_rows_axis(axes: Axes, label: str) -> None:
    """Show only an x axis with a grid, for rows that have their own labels."""
    axes.set_yticks([])
    axes.grid(axis="x", color=RULE, linewidth=0.8)
    axes.set_xlabel(label)


def set_log_axis(axes: Axes, low: float, high: float) -> None:
    """Make x logarithmic: equal ratios are equal distances. Ticks are plain numbers."""
    from matplotlib.ticker import FixedLocator, NullLocator

    axes.set_xscale("log")
    axes.set_xlim(low / 1.06, high * 1.06)
    axes.xaxis.set_major_locator(FixedLocator(choose_log_ticks(low / 1.06, high * 1.06)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


def choose_log_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 of every decade, or even steps if that gives fewer than three."""
    from matplotlib.ticker import MaxNLocator

    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks = [step * 10.0**decade for decade in decades for step in (1, 2, 5)]
    inside = [tick for tick in ticks if low <= tick <= high]
    if len(inside) < 3:
        even = MaxNLocator(nbins=5).tick_values(low, high)
        return [float(tick) for tick in even if low <= tick <= high]
    every = -(-len(inside) // 9)  # more than nine labels would overlap
    return inside[::every]


def draw_row_title(axes: Axes, y: float, left: str, right: str, tone: str = INK) -> None:
    """Write the label of a row above it, and its number at the right edge in a tone."""
    across = axes.get_yaxis_transform()
    write = functools.partial(axes.text, transform=across, va="center", bbox=LABEL_BOX)
    write(0, y, shorten(left, _TITLE_LENGTH - len(right)))
    write(1, y, right, ha="right", weight="bold", color=tone)


def shorten(label: str, maximum: int) -> str:
    """Return a label of up to `maximum` characters; the table has the rest."""
    label = make_one_line(label)
    return label if len(label) <= maximum else f"{label[: maximum - 1]}…"


def choose_colour(row: Row) -> str:
    """Return the placeholder colour of a row: int8, fp32, or the eager reference."""
    return PLACEHOLDER_COLOURS[labels.choose_tone(row.key)]


def draw_dots(axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64], tone: str) -> None:
    """Draw one round dot per sample, all of them as one path: an SVG of half the size."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    points = np.repeat(np.column_stack([x, y]), 2, axis=0)  # a line of no length is a dot
    codes = np.tile(np.array([Path.MOVETO, Path.LINETO], dtype=np.uint8), len(x))
    patch = PathPatch(
        Path(points, codes),
        fill=False,
        edgecolor=tone,
        linewidth=2.6,
        capstyle="round",
        alpha=0.55,
    )
    axes.add_patch(patch)


def thin_values(values: NDArray[np.float64], maximum: int) -> NDArray[np.intp]:
    """Return the positions of up to `maximum` values: every k-th by size, and both ends."""
    if len(values) <= maximum:
        return np.arange(len(values))
    by_size = np.argsort(values, kind="stable")
    return np.sort(by_size[np.unique(np.linspace(0, len(values) - 1, maximum).round().astype(int))])


def spread_positions(targets: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return positions near the wanted ones, at least `gap` apart, inside low..high if they fit."""
    order = sorted(range(len(targets)), key=lambda i: targets[i])
    placed = [0.0] * len(targets)
    floor = low
    for index in order:
        placed[index] = floor = max(targets[index], floor)
        floor += gap
    ceiling = high
    for index in reversed(order):
        placed[index] = ceiling = min(placed[index], ceiling)
        ceiling -= gap
    return placed
