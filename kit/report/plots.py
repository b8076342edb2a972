"""The plots of a report: latency of every sample, int8 beside fp32, size and accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kit.report import text
from kit.report.canvas import (
    INK,
    Margins,
    choose_colour,
    draw_dots,
    draw_row_title,
    open_canvas,
    set_log_axis,
    set_rows_axis,
    thin_values,
)
from kit.report.contexts import Setting
from kit.report.palette import PLACEHOLDER_COLOURS
from kit.report.rows import Report, Row, Timing
from kit.report.scatter import draw_size_and_accuracy
from kit.report.svg import Drawing, render_picture
from kit.results.statistics import NS_PER_MS
from kit.text import make_one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DOTS = 4_000  # maximum per row: more would make megabytes of SVG without more information

_ROW = 58
_STRIP = (20, 50)  # vertical extent of a row's dots, relative to its top
_BAR = 40

Timed = Sequence[tuple[Row, Timing]]


def draw(report: Report) -> list[Drawing]:
    """Return all plots that the rows have data for, in display order."""
    drawn = [draw_size_and_accuracy(report)]
    for setting in report.settings:
        timed = [(row, row.timing) for row in report.rows_in(setting) if row.timing]
        drawn += [draw_latency(setting, timed), draw_pairs(setting, timed)]
    return [p for p in drawn if p]


def draw_latency(setting: Setting, timed: Timed) -> Drawing:
    """Draw every sample of every row: x is latency, y is time downwards."""
    margins = Margins()
    key = f"latency-{setting.letter.lower()}"
    with open_canvas(len(timed) * _ROW + margins.top + margins.bottom, margins) as (figure, axes):
        set_rows_axis(axes, "latency of one inference, ms (logarithmic)")
        set_log_axis(
            axes,
            min(min(t.samples_ns) for _, t in timed) / NS_PER_MS,
            max(max(t.samples_ns) for _, t in timed) / NS_PER_MS,
        )
        for index, (row, timing) in enumerate(timed):
            top = index * _ROW
            draw_row_title(
                axes, top + 11, row.label, f"{text.format_significant(timing.median.median)} ms"
            )
            _strip(axes, row, timing, top)
        sentences = " ".join(_sentence(row, timing) for row, timing in timed)
        return render_picture(
            figure, key, "Latency of every sample", f"{_place(setting)} {sentences}"
        )


def _strip(axes: Axes, row: Row, timing: Timing, top: float) -> None:
    """Draw the samples of one row, a band per process, and the median on top."""
    first, last = top + _STRIP[0], top + _STRIP[1]
    band = (last - first) / len(timing.run.processes)
    for index, process in enumerate(timing.run.processes):
        values = np.asarray(process.samples_ns, dtype=np.float64) / NS_PER_MS
        kept = thin_values(values, DOTS // len(timing.run.processes))
        order = (kept + 0.5) / len(values)
        draw_dots(
            axes, values[kept], first + band * (index + 0.08 + 0.84 * order), choose_colour(row)
        )
    if timing.median.interval:
        low, high = timing.median.interval.low, timing.median.interval.high
        axes.fill_betweenx([first - 2, last + 2], low, high, color=INK, alpha=0.25, linewidth=0)
    axes.vlines(timing.median.median, first - 2, last + 2, color=INK, linewidth=1.6)


def _place(setting: Setting) -> str:
    return f"{make_one_line(setting.title)}."


def _sentence(row: Row, timing: Timing) -> str:
    interval = timing.median.interval
    sentence = (
        f"{make_one_line(row.label)}: median {text.format_significant(timing.median.median)} ms"
    )
    if interval:
        low, high = text.format_significant(interval.low), text.format_significant(interval.high)
        sentence += f", 95 % interval {low} to {high}"
    return (
        f"{sentence}, p99 {text.format_significant(timing.p99)}, {len(timing.samples_ns)} samples."
    )


def draw_pairs(setting: Setting, timed: Timed) -> Drawing | None:
    """Draw medians as bars, int8 above the fp32 of the same format."""
    if not any(timing.vs_fp32 for _, timing in timed):
        return None
    margins = Margins()
    key = f"pairs-{setting.letter.lower()}"
    with open_canvas(len(timed) * _BAR + margins.top + margins.bottom, margins) as (figure, axes):
        set_rows_axis(axes, "median latency, ms")
        for index, (row, timing) in enumerate(timed):
            _bar(axes, row, timing, index * _BAR)
        axes.set_xlim(left=0)
        axes.locator_params(axis="x", nbins=6)
        sentences = " ".join(_pair_sentence(row, timing) for row, timing in timed)
        return render_picture(figure, key, "int8 beside fp32", f"{_place(setting)} {sentences}")


def _bar(axes: Axes, row: Row, timing: Timing, top: float) -> None:
    median, label, tone = timing.median, f"{text.format_significant(timing.median.median)} ms", INK
    if timing.vs_fp32:
        verdict = text.describe_speedup(timing.vs_fp32)
        label = f"{verdict} · {label}"
        tone = PLACEHOLDER_COLOURS["bad"] if verdict.endswith("slower") else INK
    draw_row_title(axes, top + 11, row.label, label, tone)
    axes.barh(top + 28, median.median, height=13, color=choose_colour(row), linewidth=0)
    if median.interval:
        axes.hlines(top + 28, median.interval.low, median.interval.high, color=INK, linewidth=1.4)
        ends = (median.interval.low, median.interval.high)
        axes.vlines(ends, top + 24, top + 32, color=INK, linewidth=1.4)


def _pair_sentence(row: Row, timing: Timing) -> str:
    sentence = f"{make_one_line(row.label)}: {text.format_significant(timing.median.median)} ms"
    return (
        f"{sentence}, {text.describe_comparison(timing.vs_fp32, 'fp32')}."
        if timing.vs_fp32
        else f"{sentence}."
    )
