"""The headline of a report, computed from its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kit.registry import CLASSIFICATION
from kit.report import changes, processors, text
from kit.report.accuracy import Accuracy
from kit.report.contexts import Setting
from kit.report.rows import Report, Row, Timing
from kit.report.text import NBSP

EAGER = "eager PyTorch fp32"
OWN = "its own fp32"


@dataclass(frozen=True)
class Headline:
    """A headline, and sentences that qualify it."""

    sentence: str
    details: tuple[str, ...]


def write(report: Report) -> Headline:
    """Return the headline: the fastest int8 row of a real device, and its loss of accuracy.

    If the same file of several bundles was measured together, it names the slower bundle.
    """
    if not report.rows:
        return Headline(processors.write_sentence(report.processors), ())
    real = [setting for setting in report.settings if not setting.virtual]
    if not real:
        return _without_times(report)
    setting = max(real, key=lambda s: _weight(s, report))  # the first of equals
    rows = report.rows_in(setting)
    lead = min(report.newest_in(setting), key=lambda row: (not row.quantized, _median(row)))
    place = f"On {setting.device.name}, " if len(real) > 1 else ""
    compared = changes.find_changes(report, setting)
    first = changes.write_verdict(compared) if compared else _sentence(lead)
    return Headline(
        place + first,
        (
            *changes.write_sentences(compared),
            *([_sentence(lead)] if compared else ()),
            *_size(lead, report),
            *_noise(lead.accuracy),
            *_slower(rows),
            *_chosen(lead, report),
        ),
    )


def _weight(setting: Setting, report: Report) -> tuple[bool, int, int]:
    rows = report.rows_in(setting)
    return setting.device.kind == "phone", sum(row.quantized for row in rows), len(rows)


def _median(row: Row) -> float:
    return row.timing.median.median if row.timing else 0.0


def _sentence(row: Row) -> str:
    speed = _speed(row.timing) if row.timing else ""
    price = _price(row.accuracy) if row.accuracy else ""
    return f"{_subject(row)} {speed}{f', {price}' if price else ''}."


def _subject(row: Row) -> str:
    return f"{row.label}," if "," in row.label else row.label


def _speed(timing: Timing) -> str:
    compared = [
        (speedup, other)
        for speedup, other in ((timing.vs_eager, EAGER), (timing.vs_fp32, OWN))
        if speedup is not None
    ]
    takes = f"takes {text.format_significant(timing.median.median)}{NBSP}ms"
    if not compared:
        return takes
    if all(speedup.interval is None for speedup, _ in compared):
        others = " or ".join(other for _, other in compared)
        return f"{takes}, by too few processes to compare it with {others}"
    return f"is {' and '.join(text.describe_comparison(*one) for one in compared)}"


def _price(accuracy: Accuracy) -> str:
    if accuracy.drop is None:
        if accuracy.row.precision == "fp32":
            return ""
        if accuracy.row.agreement is None:
            samples = text.format_count(accuracy.row.images, "sample")
            ratio = text.format_decibels(accuracy.row.sqnr_db)
            return f"with an SQNR of {ratio}{NBSP}dB against fp32 on {samples}"
        share = text.format_percent(accuracy.row.agreement)
        if accuracy.task != CLASSIFICATION:  # its agreement may be that of pixels
            samples = text.format_count(accuracy.row.images, "sample")
            own = _write_metric(accuracy)
            return f"with {own}{share}{NBSP}% agreement with fp32 on {samples}"
        number = text.format_count(accuracy.row.images, "picture")
        return f"with the answer of fp32 on {share}{NBSP}% of {number}"
    if abs(accuracy.drop) < 0.05:
        return "top-1 unchanged"
    return f"{abs(accuracy.drop):.1f} points of top-1 {'lost' if accuracy.drop > 0 else 'gained'}"


def _write_metric(accuracy: Accuracy) -> str:
    """Return ``mean IoU of 96.7 % and``, or nothing."""
    metric = accuracy.metric
    if metric is None:
        return ""
    unit = f"{NBSP}{metric.unit}" if metric.unit else ""
    return f"a {metric.name} of {metric.value:.4g}{unit} and "


def _slower(rows: Sequence[Row]) -> Iterator[str]:
    """Return a sentence on int8 files that are slower than their own fp32."""
    for row in rows:
        speedup = row.timing.vs_fp32 if row.timing else None
        if speedup and speedup.clear and speedup.ratio < 1:
            yield f"{_subject(row)} is {text.describe_comparison(speedup, OWN)} here."


def _chosen(lead: Row, report: Report) -> Iterator[str]:
    """Return a sentence on which of several measurements of the file the headline uses."""
    times = len(report.repeats(lead.timing)) if lead.timing else 0
    if lead.timing and times > 1:
        yield (
            f"{lead.name} was measured {times} times here; the headline is of the newest "
            f"measurement, {lead.timing.moment}, whether it is the fastest or not."
        )


def _size(lead: Row, report: Report) -> Iterator[str]:
    """Return a sentence on the file's size before and after quantization."""
    own = lead.artifact
    for row in report.rows:
        same = row.key.format == lead.key.format and row.bundle.model == lead.bundle.model
        if own and row.artifact and lead.quantized and same and not row.quantized:
            yield (
                f"Its file is {text.format_megabytes(own.size)}{NBSP}MB instead of "
                f"{text.format_megabytes(row.artifact.size)}{NBSP}MB."
            )
            return


def _noise(accuracy: Accuracy | None) -> Iterator[str]:
    """Return a sentence on the significance of a drop, given the number of pictures."""
    if accuracy is None or accuracy.drop is None or accuracy.margin is None:
        return
    pictures = text.format_count(accuracy.row.images, "picture")
    if 0 < abs(accuracy.drop) <= accuracy.margin:
        yield (
            f"On {pictures} a top-1 difference below {accuracy.margin:.1f} points may be chance; "
            f"the first answers agree on {text.format_percent(accuracy.row.agreement)}{NBSP}%."
        )


def _without_times(report: Report) -> Headline:
    """Return the headline of a report without times of a real device."""
    why = "no latency was measured"
    if report.settings:
        why = "timed on virtual devices only, so no speed is claimed"
    evaluated = [row for row in report.rows if row.accuracy and row.accuracy.drop is not None]
    if not evaluated:
        return Headline(f"{why[0].upper()}{why[1:]}.", ())
    lead = min(evaluated, key=lambda r: (not r.quantized, abs(_drop(r)), r.label))
    price = _price(lead.accuracy) if lead.accuracy else ""
    sentence = f"{lead.label}: {price} against {EAGER}; {why}."
    return Headline(sentence, tuple(_noise(lead.accuracy)))


def _drop(row: Row) -> float:
    return row.accuracy.drop or 0.0 if row.accuracy else 0.0
