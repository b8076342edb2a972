"""The cells of a report's tables: plain text, never markup.

All kinds of pages use them, and escape them in their own way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from kit.report import labels, text
from kit.report.accuracy import Accuracy
from kit.report.rows import Row, Timing
from kit.report.text import NONE
from kit.results.statistics import MIN_PROCESSES, Interval, Speedup


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: content.
        note: a qualification, in small print.
        tone: ``good``, ``bad`` or empty; never the only indication.
        bar: length of a bar behind the number, as a share of the longest; None for none.
    """

    text: str
    note: str = ""
    tone: Literal["good", "bad", ""] = ""
    bar: float | None = None


@dataclass(frozen=True)
class Head:
    """The first cell of a row, its subject.

    Attributes:
        tone: ``int8``, ``fp32`` or ``eager``, for its colour; else nothing.
        marks: warnings, in words.
    """

    text: str
    note: str
    tone: labels.Tone | Literal[""]
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """One row of a table."""

    head: Head
    cells: tuple[Cell, ...]


def format_head(row: Row) -> Head:
    """Return the first cell of a row, with its marks."""
    marks = ["virtual device"] if row.virtual else []
    if row.timing and any(n.severity != "note" for n in row.timing.run.notices):
        marks.append("see warnings")
    runtime = row.artifact.runtime if row.artifact else ""
    how = labels.describe_method(row.quantize, row.bundle)
    tone = labels.choose_tone(row.key)
    return Head(row.label, ", ".join(part for part in (how, runtime) if part), tone, tuple(marks))


def apply_to_timing(cell: Callable[[Timing], Cell]) -> Callable[[Row], Cell]:
    """Return a function of rows from one of timings; rows without a timing give an empty cell."""
    return lambda row: cell(row.timing) if row.timing else Cell(NONE)


def format_size(row: Row) -> Cell:
    """Return the size of the file in MB."""
    return Cell(text.format_megabytes(row.artifact.size) if row.artifact else NONE)


def format_top1(row: Row) -> Cell:
    """Return the top-1 in percent and the drop, or the agreement if there are no labels."""
    accuracy = row.accuracy
    if accuracy is None:
        return Cell(NONE)
    if accuracy.row.agreement is None:
        return Cell(NONE, f"{text.format_decibels(accuracy.row.sqnr_db)} dB against fp32")
    if accuracy.row.top1 is None:
        return Cell(NONE, f"{text.format_percent(accuracy.row.agreement)} % agree")
    return Cell(text.format_percent(accuracy.row.top1), _lost(accuracy))


def format_metric(row: Row, heading: str) -> Cell:
    """Return a metric of the task by its heading, and the agreement."""
    accuracy = row.accuracy
    if accuracy is None or accuracy.metric is None or accuracy.metric.heading != heading:
        return Cell(NONE)
    share = accuracy.row.agreement
    note = "" if share is None else f"{text.format_percent(share)} % agree"
    return Cell(f"{accuracy.metric.value:.4g}", note)


def format_agreement(row: Row) -> Cell:
    """Return the agreement with the float model in percent."""
    return Cell(NONE if row.accuracy is None else text.format_percent(row.accuracy.row.agreement))


def format_sqnr(row: Row) -> Cell:
    """Return the SQNR against the float model in dB."""
    return Cell(NONE if row.accuracy is None else text.format_decibels(row.accuracy.row.sqnr_db))


def _lost(accuracy: Accuracy) -> str:
    if accuracy.drop is None or accuracy.margin is None:
        return ""
    if accuracy.row.agreement == 1:
        return f"equal{text.NBSP}answers"
    word = "gained" if accuracy.drop <= -0.05 else "lost"
    return f"{abs(accuracy.drop):.1f} {word}, ±{text.NBSP}{accuracy.margin:.1f}"


def format_parity(row: Row) -> Cell:
    """Return the share of golden pictures with the answer of the graph, in percent."""
    if row.parity is None:
        return Cell(NONE)
    return Cell(text.format_percent(row.parity.agreement), f"of {row.parity.images}")


def format_median(timing: Timing, longest: float | None = None) -> Cell:
    """Return the median in ms and its interval, with a bar if the longest median is given."""
    value = timing.median.median
    note = _interval(timing.median.interval, text.format_significant)
    if timing.median.interval is None and len(timing.processes) >= MIN_PROCESSES:
        note = "too few samples"
    return Cell(
        text.format_significant(value), note, bar=None if longest is None else value / longest
    )


def _interval(interval: Interval | None, form: Callable[[float], str]) -> str:
    if interval is None:
        return "too few processes"
    return f"{form(interval.low)} to {form(interval.high)}".replace(" ", text.NBSP)


def format_speedup(speed: Speedup | None) -> Cell:
    """Return the speed-up and its interval, and a word if it is not faster."""
    if speed is None:
        return Cell(NONE)
    shown, note = text.format_ratio(speed.ratio), _interval(speed.interval, text.format_ratio_end)
    if speed.interval is None:
        return Cell(shown, note)
    verdict = text.describe_speedup(speed)
    if verdict.endswith("faster"):
        return Cell(shown, note, tone="good")
    slower = verdict.endswith("slower")
    return Cell(shown, f"{note}, {'slower' if slower else verdict}", tone="bad" if slower else "")


def format_memory(timing: Timing) -> Cell:
    """Return the peak resident memory of the runner in MB."""
    peak = timing.run.peak_rss
    if peak is None:
        return Cell(NONE)
    base = timing.run.base_rss
    note = "" if base is None else f"{text.format_megabytes(base)} without model"
    return Cell(text.format_megabytes(peak), note)


def format_samples(timing: Timing) -> Cell:
    """Return the number of samples and the median of each process."""
    medians = ", ".join(text.format_significant(m) for m in timing.processes)
    return Cell(str(len(timing.samples_ns)), f"medians {medians}")


def format_runner(timing: Timing) -> Cell:
    """Return the runner and the plan."""
    return Cell(timing.run.via, f"{timing.run.plan.name} plan")


def format_setting(timing: Timing) -> Cell:
    """Return the letter of the setting, for reports that have several."""
    return Cell(timing.setting.letter, f"{timing.run.via}, {timing.run.plan.name} plan")
