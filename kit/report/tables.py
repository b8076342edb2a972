"""The tables of a report, for all kinds of pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf

from kit.report import cells, labels, text
from kit.report.accuracy import Accuracy
from kit.report.cells import Cell, Head, Line, apply_to_timing
from kit.report.contexts import Setting
from kit.report.rows import GRAPH, Report, Row
from kit.report.text import NONE
from kit.results.accuracy import AccuracyRow
from kit.results.context import ArtifactRef, BundleRef, ParityRef

QUIET_MOMENTS = (
    "Ratios of files that were measured together compare quiet moments, so they may differ from "
    "the quotient of the medians."
)


@dataclass(frozen=True)
class Table:
    """A table; every line has one cell per column after the first column.

    Attributes:
        subject: heading of the first column.
        note: a sentence below the table that is needed to read it.
    """

    key: str
    caption: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    subject: str = "Format"
    note: str = ""

    def has_bars(self, column: int) -> bool:
        """Whether cells of a column, counted from 0, have a bar behind their number."""
        return any(line.cells[column].bar is not None for line in self.lines)


Columns = Sequence[tuple[str, Callable[[Row], Cell]]]


def tabulate_overview(setting: Setting, report: Report) -> Table:
    """Return size, accuracy and speed of every row that was timed in a setting.

    The fastest is the first, except on virtual devices, which are not ranked.
    """
    rows = report.rows_in(setting)
    caption = "Size, accuracy and speed"
    if not setting.virtual:
        rows.sort(key=lambda row: row.timing.median.median if row.timing else inf)
        caption += ", the fastest first"
    longest = max(row.timing.median.median for row in rows if row.timing)
    columns: Columns = (
        ("Size, MB", cells.format_size),
        *_list_scores(rows),
        ("Parity, %", cells.format_parity),
        ("Median, ms", apply_to_timing(lambda t: cells.format_median(t, longest))),
        ("Against eager fp32", apply_to_timing(lambda t: cells.format_speedup(t.vs_eager))),
        ("Against own fp32", apply_to_timing(lambda t: cells.format_speedup(t.vs_fp32))),
    )
    shown = _table(f"overview-{setting.letter}", caption, columns, rows)
    compared = any(column.startswith("Against ") for column in shown.columns)
    return replace(shown, note=QUIET_MOMENTS) if compared else shown


def tabulate_untimed(report: Report) -> Table:
    """Return size and accuracy of the rows without latency."""
    columns: Columns = (
        ("Size, MB", cells.format_size),
        *_list_scores(report.untimed),
        ("Parity, %", cells.format_parity),
    )
    return _table("untimed", "Size and accuracy", columns, report.untimed)


def _list_scores(rows: Sequence[Row]) -> Columns:
    """Return the columns of accuracy: top-1, the first metric of other tasks, or agreement."""
    evaluated = [row.accuracy for row in rows if row.accuracy]
    metrics = dict.fromkeys(one.metric.heading for one in evaluated if one.metric)
    columns = [(heading, partial(cells.format_metric, heading=heading)) for heading in metrics]
    if any(one.row.top1 is not None for one in evaluated):
        return [("Top-1, %", cells.format_top1), *columns]
    if columns:
        return columns
    if any(one.row.agreement is not None for one in evaluated):
        return [("Agreement, %", cells.format_agreement)]
    return [("SQNR, dB", cells.format_sqnr)]


def tabulate_latency(report: Report) -> Table:
    """Return all times, and the memory."""
    columns: Columns = (
        ("Median, ms", apply_to_timing(cells.format_median)),
        ("p90, ms", apply_to_timing(lambda t: Cell(text.format_significant(t.p90)))),
        ("p99, ms", apply_to_timing(lambda t: Cell(text.format_significant(t.p99)))),
        ("Load, ms", apply_to_timing(lambda t: Cell(text.format_significant(t.load)))),
        ("First, ms", apply_to_timing(lambda t: Cell(text.format_significant(t.first)))),
        ("Peak memory, MB", apply_to_timing(cells.format_memory)),
        ("Samples", apply_to_timing(cells.format_samples)),
        ("Setting", apply_to_timing(cells.format_setting))
        if len(report.settings) > 1
        else ("Runner", apply_to_timing(cells.format_runner)),
    )
    rows = [row for row in report.rows if row.timing]
    return _table("latency", "Latency, start and memory", columns, rows)


def _table(key: str, caption: str, columns: Columns, rows: Sequence[Row]) -> Table:
    """Return a table without the columns that are empty in all rows."""
    cells_of = [(title, [cell(row) for row in rows]) for title, cell in columns]
    kept = [(title, column) for title, column in cells_of if any(c != Cell(NONE) for c in column)]
    lines = tuple(
        Line(cells.format_head(row), tuple(column[index] for _, column in kept))
        for index, row in enumerate(rows)
    )
    return Table(key, caption, tuple(title for title, _ in kept), lines)


def tabulate_accuracy(report: Report) -> Table:
    """Return every evaluation; formats that were evaluated twice have two lines."""
    columns = (
        "Pictures",
        "Top-1, %",
        "Drop, points",
        "Top-5, %",
        "Agreement, %",
        "SQNR, dB",
        "Pictures per second",
        *(headings := _list_metrics(report)),
    )
    times = Counter((a.subject, a.picture_set) for a in report.accuracy)
    lines = tuple(
        Line(
            _subject(a.bundle, a.row, a.moment if times[a.subject, a.picture_set] > 1 else ""),
            _evaluated(a, headings),
        )
        for a in report.accuracy
    )
    kept = [
        index
        for index in range(len(columns))
        if any(line.cells[index] != Cell(NONE) for line in lines)
    ]
    return Table(
        "accuracy",
        "Accuracy against the labels and the float reference",
        tuple(columns[index] for index in kept),
        tuple(Line(line.head, tuple(line.cells[index] for index in kept)) for line in lines),
    )


def _list_metrics(report: Report) -> tuple[str, ...]:
    """Return the headings of all metrics that tasks added, each once."""
    metrics = (metric for one in report.accuracy for metric in one.row.metrics)
    return tuple(dict.fromkeys(metric.heading for metric in metrics))


def _metric_cells(row: AccuracyRow, headings: Sequence[str], count: int) -> tuple[Cell, ...]:
    """Return a cell for each heading; without headings, `count` empty ones."""
    values = {metric.heading: f"{metric.value:.4g}" for metric in row.metrics}
    filled = [Cell(values.get(heading, NONE)) for heading in headings]
    return tuple(filled or [Cell("")] * count)


def _evaluated(evaluated: Accuracy, headings: Sequence[str]) -> tuple[Cell, ...]:
    row = evaluated.row
    margin = "" if evaluated.margin is None else f"± {evaluated.margin:.1f}"
    if evaluated.drop is not None and row.agreement == 1:
        margin = "equal answers"  # how many more pictures would tell apart is not known
    left_out = f", {evaluated.left_out} left out" if evaluated.left_out else ""
    return (
        Cell(str(row.images), evaluated.pictures + left_out),
        Cell(text.format_percent(row.top1)),
        Cell(NONE if evaluated.drop is None else text.format_signed(evaluated.drop), margin),
        Cell(text.format_percent(row.top5)),
        Cell(text.format_percent(row.agreement)),
        Cell(text.format_decibels(row.sqnr_db)),
        Cell(text.format_significant(row.images_per_second)),
        *_metric_cells(row, headings, len(headings)),
    )


def tabulate_outputs(report: Report) -> Table:
    """Return the comparison of each output with the float model's, for models of tensors."""
    headings = _list_metrics(report)
    columns = ("Output", "Samples", "SQNR, dB", "Largest difference", "Cosine", *headings)
    lines = tuple(
        Line(
            _subject(evaluated.bundle, evaluated.row, evaluated.moment),
            (
                Cell(output.name),
                Cell(str(evaluated.row.images), evaluated.pictures),
                Cell(text.format_decibels(output.sqnr_db)),
                Cell("0" if output.max_abs == 0 else f"{output.max_abs:.2g}"),
                Cell(f"{output.cosine:.4f}"),
                *_metric_cells(evaluated.row, () if number else headings, len(headings)),
            ),
        )
        for evaluated in report.accuracy
        for number, output in enumerate(evaluated.row.outputs)
    )
    return Table("outputs", "Outputs against the float reference", columns, lines)


def _subject(bundle: BundleRef, subject: AccuracyRow | ArtifactRef, moment: str = "") -> Head:
    how = labels.describe_method(subject.quantize, bundle)
    note = ", ".join(part for part in (how, bundle.name, moment) if part)
    tone = labels.choose_tone(subject.key)
    return Head(labels.name_artifact(subject.key), note, tone)


def tabulate_parity(report: Report) -> Table:
    """Return the comparisons of each file with its graph and with the float model."""
    columns = (
        "Compared with",
        "Pictures",
        "Largest difference",
        "SQNR, dB",
        "Agreement, %",
    )
    lines: list[Line] = []
    for bundle in report.bundles:
        for artifact in bundle.artifacts:
            lines += [
                Line(_subject(bundle, artifact), _compared(artifact, c)) for c in artifact.parity
            ]
    lines += [line for row in report.rows for line in _golden(row)]
    return Table("parity", "Parity of the runtime's answers", columns, tuple(lines))


def _compared(artifact: ArtifactRef, compared: ParityRef) -> tuple[Cell, ...]:
    against = "graph that was lowered" if compared.against == GRAPH else compared.against
    notes = (compared.output, "" if artifact.executed else "of its graph: the file was not run")
    return (
        Cell(against, ", ".join(filter(None, notes))),
        Cell(str(compared.images)),
        Cell("0" if compared.max_abs == 0 else f"{compared.max_abs:.2g}"),
        Cell(text.format_decibels(compared.sqnr_db)),
        Cell(text.format_percent(compared.agreement)),
    )


def _golden(row: Row) -> Iterator[Line]:
    """Return the line of a runner's comparison with the golden answer."""
    if row.timing is None or row.timing.run.golden_max_abs is None:
        return
    largest = row.timing.run.golden_max_abs
    where = f"{row.timing.run.via} runner on {row.timing.setting.device.name}"
    yield Line(
        cells.format_head(row),
        (
            Cell("golden answer", where),
            Cell(NONE),
            Cell("0" if largest == 0 else f"{largest:.2g}"),
            Cell(NONE),
            Cell(NONE),
        ),
    )


def tabulate_files(report: Report) -> Table:
    """Return a table that identifies the measured bundles and files."""
    columns = ("Bytes", "Runtime", "SHA-256 of the file", "Bundle")
    lines = [
        Line(
            _subject(bundle, artifact),
            (
                Cell(f"{artifact.size:,}"),
                Cell(artifact.runtime),
                Cell(artifact.sha256[:16]),
                Cell(bundle.hash[:16]),
            ),
        )
        for bundle in report.bundles
        for artifact in bundle.artifacts
    ]
    return Table("files", "Files of the bundles", columns, tuple(lines))
