"""Convert results to the rows of a report, independent of the results' order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby
from math import inf
from typing import TypeVar

from kit.artifact_key import FLOAT_MODEL, REFERENCE, ArtifactKey
from kit.errors import ResultError
from kit.report import accuracy, contexts, labels
from kit.report.accuracy import Accuracy
from kit.report.contexts import Member, Setting, assume_utc
from kit.report.rows import Report, Row, Timing
from kit.results import rounds, statistics
from kit.results.accuracy import AccuracyResult
from kit.results.context import BundleRef
from kit.results.kinds import AnyResult
from kit.results.latency import LatencyResult, Run
from kit.results.processors import ProcessorsResult
from kit.results.statistics import Speedup

Chosen = dict[tuple[str, ArtifactKey], Accuracy]
ResultT = TypeVar("ResultT", LatencyResult, AccuracyResult, ProcessorsResult)


def build(results: Sequence[AnyResult]) -> Report:
    """Merge results into one report; duplicates are removed.

    Raises:
        ResultError: there is no measurement in them.
    """
    latency = _distinct(r for r in results if isinstance(r, LatencyResult))
    evaluated = _distinct(r for r in results if isinstance(r, AccuracyResult))
    verified = _distinct(r for r in results if isinstance(r, ProcessorsResult))
    accuracies = accuracy.collect(evaluated)
    best = accuracy.choose(accuracies)
    settings = contexts.group(latency)
    timings = [_timing(setting, member) for setting in settings for member in setting.members]
    rows = [_row(timing, timings, best) for timing in timings]
    rows += _untimed(rows, best)
    if not rows and not any(result.rows for result in verified):
        raise ResultError("the results hold no measurement", "`kit bench` and `kit eval` make one")
    return Report(
        settings=tuple(settings),
        rows=tuple(_named(_ordered(rows))),
        accuracy=tuple(accuracies),
        created=tuple(sorted({assume_utc(r.created) for r in results})),
        processors=tuple(sorted(verified, key=_age)),
        results=tuple(sorted((*latency, *evaluated, *verified), key=_age)),
    )


def _age(result: AnyResult) -> tuple[datetime, str, str, str]:
    identity = result.identity.measurement if result.identity else ""
    return assume_utc(result.created), identity, result.bundle.hash, result.kind


def _distinct(results: Iterable[ResultT]) -> list[ResultT]:
    kept: list[ResultT] = []
    for result in results:
        if result not in kept:
            kept.append(result)
    return kept


def _timing(setting: Setting, member: Member) -> Timing:
    result, run = member
    samples = [s for process in run.processes for s in process.samples_ns]
    return Timing(
        setting=setting,
        bundle=result.bundle,
        run=run,
        created=assume_utc(result.created),
        identity=result.identity.measurement if result.identity else None,
        artifact=_artifact(result.bundle, run),
        median=rounds.estimate(run),
        p90=statistics.compute_percentile_ms(samples, 90),
        p99=statistics.compute_percentile_ms(samples, 99),
        processes=tuple(rounds.compute_medians(run)),
        load=statistics.compute_median_ms([p.load_ns for p in run.processes]),
        first=statistics.compute_median_ms([p.first_ns for p in run.processes]),
    )


def _artifact(bundle: BundleRef, run: Run) -> str:
    described = labels.find_artifact(bundle, run.key)
    digest = run.artifact_sha256 or (described.sha256 if described else None)
    # Several runtimes may have run the same file.
    return f"{run.format} {digest}" if digest else f"{run.name} of {bundle.hash}"


def _row(timing: Timing, timings: Sequence[Timing], best: Chosen) -> Row:
    bundle, run = timing.bundle, timing.run
    return Row(
        bundle=bundle,
        key=run.key,
        quantize=run.quantize,
        timing=timing if timing.setting.virtual else _with_speedups(timing, timings),
        accuracy=best.get((bundle.hash, run.key)),
    )


def _with_speedups(timing: Timing, timings: Sequence[Timing]) -> Timing:
    """Compare a timing with its baselines; never on a virtual device.

    An emulator slows int8 and fp32 down by different factors, so their ratio is meaningless.
    """
    fellows = [t for t in timings if _comparable(t, timing)]
    eager = [t for t in fellows if t.run.key == FLOAT_MODEL]
    fp32 = [t for t in fellows if _is_fp32_of(t, timing)]
    return replace(
        timing,
        vs_eager=None if timing.run.key == FLOAT_MODEL else _ratio(eager, timing),
        vs_fp32=None if timing.run.precision == "fp32" else _ratio(fp32, timing),
    )


def _comparable(one: Timing, other: Timing) -> bool:
    """Whether two timings are of the same architecture, measured in the same setting."""
    return one.setting == other.setting and _architecture(one) == _architecture(other)


def _architecture(timing: Timing) -> tuple[str, str, float]:
    return timing.bundle.model, timing.bundle.size, timing.bundle.width


def _is_fp32_of(candidate: Timing, timing: Timing) -> bool:
    """Whether it is the float file of the same format with the same kind of runner."""
    one, other = candidate.run, timing.run
    return one.precision == "fp32" and (one.format, one.via) == (other.format, other.via)


def _ratio(baselines: Sequence[Timing], own: Timing) -> Speedup | None:
    """Compare with the baseline of the same measurement, or else the nearest in time.

    Processes of one measurement were interleaved, so they are compared in pairs.
    """
    if not baselines:
        return None

    def distance(baseline: Timing) -> tuple[bool, timedelta, bool, str, str]:
        return (
            baseline.measurement != own.measurement,
            abs(baseline.created - own.created),
            baseline.bundle.hash != own.bundle.hash,
            baseline.measurement,
            baseline.bundle.hash,
        )

    nearest = min(baselines, key=distance)
    if nearest.measurement == own.measurement and rounds.is_paired(nearest.run, own.run):
        return rounds.compute_speedup(nearest.run, own.run)
    return statistics.compute_ratio(nearest.median, own.median)


def _untimed(rows: Sequence[Row], best: Chosen) -> list[Row]:
    """Return evaluations without timing, except of a reference that was timed elsewhere.

    Every bundle has the float model, which is timed once.
    """
    seen = {_subject(row) for row in rows}
    untimed = [
        Row(one.bundle, one.row.key, one.row.quantize, accuracy=one) for one in best.values()
    ]
    return [row for row in untimed if _subject(row) not in seen]


def _subject(row: Row) -> tuple[object, ...]:
    bundle = row.bundle
    if row.reference:
        return REFERENCE, bundle.model, bundle.size, bundle.width
    return row.key, bundle.hash


def _ordered(rows: Sequence[Row]) -> list[Row]:
    """Sort by setting, then the reference, then formats by their fastest, int8 first."""
    fastest: dict[tuple[str, str], float] = {}
    for row in rows:
        key = (_letter(row), row.key.format)
        fastest[key] = min(fastest.get(key, inf), _median(row))

    def rank(row: Row) -> tuple[bool, str, bool, float, str, bool, float, str, str, str]:
        return (
            row.timing is None,
            _letter(row),
            not row.reference,
            fastest[_letter(row), row.key.format],
            row.key.format,
            not row.quantized,
            _median(row),
            row.bundle.name,
            row.bundle.hash,
            row.timing.measurement if row.timing else "",
        )

    return sorted(rows, key=rank)


def _letter(row: Row) -> str:
    return row.timing.setting.letter if row.timing else ""


def _median(row: Row) -> float:
    return row.timing.median.median if row.timing else inf


def _named(rows: Sequence[Row]) -> list[Row]:
    """Label the rows, which are sorted by setting; labels are unique within a setting."""
    named: list[Row] = []
    for _, group in groupby(rows, key=_letter):
        fellows = list(group)
        names = labels.make_unique([_parts(row, number) for number, row in enumerate(fellows, 1)])
        named += [replace(row, label=label) for row, label in zip(fellows, names, strict=True)]
    return named


def _parts(row: Row, number: int) -> tuple[str, ...]:
    measured = ("", "", "")
    if row.timing:
        identity = f"measurement {row.timing.identity[:8]}" if row.timing.identity else ""
        moment = f"{row.timing.created:%Y-%m-%d %H:%M:%S}"
        measured = (row.timing.run.via, moment, identity)
    parts = labels.list_parts(row.bundle, row.key, row.quantize)
    return (*parts, *measured, f"row {number}")
