"""The cells of the table, for all ways in which it is shown. What was not measured is empty."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from kit.algorithms import list_algorithms
from kit.report import labels, text
from kit.report.cells import Cell, Head, Line
from kit.report.contexts import Setting
from kit.report.rows import Timing
from kit.report.tables import Table
from kit.report.text import NBSP
from kit.results.statistics import Interval
from kit.table.overview import Overview, TableRow

EMPTY = Cell("")
VIRTUAL = "not a phone, never ranked"


def tabulate(overview: Overview) -> Table:
    """Return the main table."""
    numbered = list(enumerate(overview.rows, 1))
    return _table("all", _caption(overview), numbered, _list_columns(overview))


def _list_columns(overview: Overview) -> list[tuple[str, Callable[[TableRow], Cell]]]:
    """Return the columns, with the first metric of tasks that have no top-1."""
    evaluated = [row.accuracy for row in overview.rows if row.accuracy]
    metrics = dict.fromkeys(one.metric.heading for one in evaluated if one.metric)
    added = [(heading, partial(_metric, heading=heading)) for heading in metrics]
    top1 = [("Top-1, %", _top1)]
    if metrics and all(one.row.top1 is None for one in evaluated):
        top1 = []
    return [("Size, MB", _size), *top1, *added, *_REST]


def tabulate_other(overview: Overview, setting: Setting, rows: Sequence[TableRow]) -> Table:
    """Return the times of another setting; rows keep their numbers of the main table."""
    numbers = {(row.bundle.hash, row.key): number for number, row in enumerate(overview.rows, 1)}
    numbered = [(numbers.get((row.bundle.hash, row.key), 0), row) for row in rows]
    caption = f"{setting.title}{f' ({VIRTUAL})' if setting.virtual else ''}"
    return _table(f"setting-{setting.letter}", caption, numbered, _TIMES)


def _caption(overview: Overview) -> str:
    return overview.main.title if overview.main else "not timed"


def _table(
    key: str,
    caption: str,
    rows: Sequence[tuple[int, TableRow]],
    columns: Sequence[tuple[str, Callable[[TableRow], Cell]]],
) -> Table:
    lines = tuple(
        Line(_head(number, row), tuple(cell(row) for _, cell in columns)) for number, row in rows
    )
    return Table(key, caption, tuple(name for name, _ in columns), lines, "File")


def _head(number: int, row: TableRow) -> Head:
    marks = ["front"] if row.front else []
    if row.timing is not None and row.timing.setting.virtual:
        marks.append(VIRTUAL)
    elif row.timing is not None and any(n.severity != "note" for n in row.timing.run.notices):
        marks.append("see warnings")
    runtime = row.artifact.runtime if row.artifact else ""
    how = _describe_method(row)
    note = ", ".join(part for part in (how, runtime) if part)
    return Head(
        f"{number} {row.label}" if number else row.label,
        note,
        labels.choose_tone(row.key),
        tuple(marks),
    )


def _describe_method(row: TableRow) -> str:
    """Return method and granularity; of a file of another tool, what its bundle calls it."""
    known = row.quantize in ("none", *list_algorithms())
    return labels.describe_method(row.quantize, row.bundle) if known else row.quantize


def _size(row: TableRow) -> Cell:
    return Cell(text.format_megabytes(row.artifact.size)) if row.artifact else EMPTY


def _top1(row: TableRow) -> Cell:
    accuracy = row.accuracy
    if accuracy is None or accuracy.row.top1 is None:
        return EMPTY
    note = "" if accuracy.margin is None else f"±{NBSP}{accuracy.margin:.1f}"
    if accuracy.drop is not None and accuracy.row.agreement == 1:
        return Cell(text.format_percent(accuracy.row.top1), f"equal{NBSP}answers")
    drop = "" if accuracy.drop is None else f"{text.format_signed(-accuracy.drop)}{NBSP}points "
    return Cell(text.format_percent(accuracy.row.top1), f"{drop}{note}".strip())


def _metric(row: TableRow, heading: str) -> Cell:
    metric = row.accuracy.metric if row.accuracy else None
    return EMPTY if metric is None or metric.heading != heading else Cell(f"{metric.value:.4g}")


def _agreement(row: TableRow) -> Cell:
    accuracy = row.accuracy
    if accuracy is None or accuracy.row.agreement is None or row.artifact is None:
        return EMPTY
    return Cell(text.format_percent(accuracy.row.agreement))


def _sqnr(row: TableRow) -> Cell:
    if row.accuracy is None or row.artifact is None:
        return EMPTY
    return Cell(text.format_decibels(row.accuracy.row.sqnr_db))


def _median(row: TableRow) -> Cell:
    if row.timing is None:
        return EMPTY
    median = row.timing.median
    return Cell(text.format_significant(median.median), _interval(median.interval))


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return "too few processes"
    ends = f"{text.format_significant(interval.low)} to {text.format_significant(interval.high)}"
    return ends.replace(" ", NBSP)


def _timed(value: Callable[[Timing], float]) -> Callable[[TableRow], Cell]:
    return lambda row: Cell(text.format_significant(value(row.timing))) if row.timing else EMPTY


def _memory(row: TableRow) -> Cell:
    return EMPTY if row.memory is None else Cell(text.format_megabytes(row.memory))


def _delegated(row: TableRow) -> Cell:
    return EMPTY if row.delegated is None else Cell(text.format_percent(row.delegated))


_TIMES = (
    ("Median, ms", _median),
    ("p90, ms", _timed(lambda timing: timing.p90)),
    ("Load, ms", _timed(lambda timing: timing.load)),
    ("First, ms", _timed(lambda timing: timing.first)),
    ("Memory, MB", _memory),
)
_REST = (
    ("Agreement, %", _agreement),
    ("SQNR, dB", _sqnr),
    *_TIMES,
    ("Delegated, %", _delegated),
)
