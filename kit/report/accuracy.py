"""Accuracy rows of a report, each with the reference of the same evaluation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from kit.artifact_key import FLOAT_MODEL, ArtifactKey
from kit.report.contexts import assume_utc, name_measurement
from kit.results.accuracy import AccuracyResult, AccuracyRow, Metric
from kit.results.context import BundleRef
from kit.results.statistics import compute_top1_margin95

SetKey = tuple[str, int]  # SHA-256 and number of samples


@dataclass(frozen=True)
class Accuracy:
    """One format of one bundle on one set of pictures; shares are between 0 and 1.

    Attributes:
        task: of the bundle.
        left_out: calibration pictures, which were not evaluated.
        measurement: id of the measurement; None before schema 6.
        drop: reference top-1 minus own top-1, in percentage points; None without labels.
        margin: half width of the 95 % interval of `drop`, in points.
    """

    bundle: BundleRef
    row: AccuracyRow
    task: str
    pictures: str
    pictures_sha256: str
    left_out: int
    created: datetime
    measurement: str | None
    drop: float | None
    margin: float | None

    @property
    def picture_set(self) -> SetKey:
        """The key of comparable scores."""
        return self.pictures_sha256, self.row.images

    @property
    def metric(self) -> Metric | None:
        """The first measure of the task's own, where there is no top-1; None without one."""
        return next(iter(self.row.metrics), None) if self.row.top1 is None else None

    @property
    def moment(self) -> str:
        """Date of the evaluation, and the start of the measurement's id."""
        return name_measurement(self.created, self.measurement)

    @property
    def subject(self) -> tuple[str, ArtifactKey]:
        """The bundle's hash and the file's key."""
        return self.bundle.hash, self.row.key


def collect(results: Iterable[AccuracyResult]) -> list[Accuracy]:
    """Return every row of every evaluation, oldest first, with its drop."""
    ordered = sorted(
        results,
        key=lambda r: (
            assume_utc(r.created),
            r.bundle.hash,
            r.pictures_sha256,
            _measurement(r) or "",
        ),
    )
    return [_against_reference(result, row) for result in ordered for row in result.rows]


def _measurement(result: AccuracyResult) -> str | None:
    return result.identity.measurement if result.identity else None


def _against_reference(result: AccuracyResult, row: AccuracyRow) -> Accuracy:
    reference = next((r for r in result.rows if r.key == FLOAT_MODEL), None)
    drop = None if row.key == FLOAT_MODEL else _drop(reference, row)
    return Accuracy(
        bundle=result.bundle,
        row=row,
        task=result.task,
        pictures=result.pictures,
        pictures_sha256=result.pictures_sha256,
        left_out=result.left_out,
        created=assume_utc(result.created),
        measurement=_measurement(result),
        drop=drop,
        margin=_margin(row) if drop is not None else None,
    )


def _margin(row: AccuracyRow) -> float | None:
    return None if row.agreement is None else 100 * compute_top1_margin95(row.agreement, row.images)


def _drop(reference: AccuracyRow | None, row: AccuracyRow) -> float | None:
    if reference is None or reference.images != row.images:
        return None
    if reference.top1 is None or row.top1 is None:
        return None
    return 100 * (reference.top1 - row.top1)


@dataclass(frozen=True)
class Measure:
    """What a plot shows of evaluations, in percent.

    Attributes:
        name: of it, as plots show it.
        is_score: whether the float model has a value to compare with, unlike for agreement.
    """

    name: str
    is_score: bool
    read: Callable[[Accuracy], float | None]


def choose_measure(evaluated: Sequence[Accuracy]) -> Measure:
    """Return top-1, or else a metric that all evaluations have in percent, or else agreement."""
    if all(one.row.top1 is not None for one in evaluated):
        return Measure("top-1", True, lambda one: _percent(one.row.top1))
    metrics = [one.metric for one in evaluated]
    names = {None if metric is None else (metric.name, metric.unit) for metric in metrics}
    if len(names) == 1 and metrics[0] is not None and metrics[0].unit == "%":
        name = metrics[0].name
        return Measure(name, True, lambda one: None if one.metric is None else one.metric.value)
    return Measure("agreement with fp32", False, lambda one: _percent(one.row.agreement))


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def choose(evaluated: Sequence[Accuracy]) -> dict[tuple[str, ArtifactKey], Accuracy]:
    """Return one evaluation per file, on as few picture sets as possible.

    The set that most files were evaluated on comes first, then the larger, then the
    newer evaluation. Scores of different sets are never averaged.
    """
    pairs = {(a.picture_set, a.subject) for a in evaluated}
    covered = Counter(picture_set for picture_set, _ in pairs)

    def worth(a: Accuracy) -> tuple[int, int, str, datetime, str]:
        age = a.created, a.measurement or ""
        return covered[a.picture_set], a.row.images, a.pictures_sha256, *age

    return {
        a.subject: a for a in sorted(evaluated, key=worth)
    }  # the last one, with the highest worth, is kept
