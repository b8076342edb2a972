"""The plot of an analysis: one bar per place, in the network's order."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kit.analysis.sensitivity import LayerRecord, Study
from kit.report.canvas import INK, MUTED, Margins, open_canvas, set_rows_axis, shorten
from kit.report.palette import PLACEHOLDER_COLOURS
from kit.report.svg import Drawing, render_picture
from kit.text import make_one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WORST = 5  # maximum number of places in another colour, which are a quarter of all
_ROW = 15
_NAME = 24  # maximum number of characters beside the bars


def draw_bars(study: Study) -> Drawing:
    """Draw the SQNR with only one place in int8, for each place; shorter bars are worse."""
    worst = {record.name for record in _list_worst(study)}
    margins = Margins(left=150, right=34)
    height = len(study.records) * _ROW + margins.top + margins.bottom
    finite = [r.sqnr_db for r in study.records if np.isfinite(r.sqnr_db)] or [0.0]
    with open_canvas(height, margins) as (figure, axes):
        set_rows_axis(axes, "SQNR, this place alone in int8, dB")
        axes.set_xlim(min(0.0, *finite), max(1.0, *finite))
        for index, record in enumerate(study.records):
            _bar(axes, record, (index + 0.5) * _ROW, record.name in worst)
        return render_picture(figure, "sensitivity", "What int8 costs at each place", _words(study))


def _list_worst(study: Study) -> Sequence[LayerRecord]:
    return study.worst()[: min(WORST, -(-len(study.records) // 4))]


def _bar(axes: Axes, record: LayerRecord, y: float, bad: bool) -> None:
    high = axes.get_xlim()[1]
    value = high if record.sqnr_db == float("inf") else record.sqnr_db
    tone = PLACEHOLDER_COLOURS["bad" if bad else "fp32" if record.kept else "int8"]
    axes.barh(y, value, height=_ROW - 5, color=tone, linewidth=0)
    write = functools.partial(
        axes.text, va="center", fontsize=9, transform=axes.get_yaxis_transform()
    )
    write(-0.02, y, shorten(record.name, _NAME), ha="right", color=INK)
    text = "equal" if record.sqnr_db == float("inf") else f"{record.sqnr_db:.1f}"
    write(1.02, y, text, color=PLACEHOLDER_COLOURS["bad"] if bad else MUTED)


def _words(study: Study) -> str:
    """Return the worst places in a sentence, as the plot's description."""
    worst = _list_worst(study)
    text = ", ".join(f"{make_one_line(record.name)} {record.sqnr_db:.1f} dB" for record in worst)
    return f"{len(study.records)} places in the network's order; the worst are {text}."
