"""The result of `kit eval`: each file's answers against labels and the float model's."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field, field_validator

from kit.artifact_key import KeyedRecord
from kit.documents import Digest, Record
from kit.notices import Notice
from kit.results.context import BundleRef, Identity
from kit.results.schema import MAX_COUNT, SCHEMA_VERSION, BoundedCount, Cosine, Fraction, Many


class OutputRow(Record):
    """One output of one file against the float model's, over all samples.

    Attributes:
        sqnr_db: in dB; None when they are equal.
        max_abs: largest absolute difference of a value.
        cosine: mean cosine of the angle between two answers.
    """

    name: str
    sqnr_db: float | None
    max_abs: float = Field(ge=0)
    cosine: Cosine


class Metric(Record):
    """One measure of a task's own, such as the mean IoU of a segmentation.

    Attributes:
        name: as tables show it, unique in its row.
        value: in the unit.
        unit: ``%`` or ``dB``, for example; empty for a plain number.
    """

    name: str = Field(min_length=1, max_length=100)
    value: float
    unit: str = Field("", max_length=20)

    @property
    def heading(self) -> str:
        """Return the heading of its column."""
        return f"{self.name}, {self.unit}" if self.unit else self.name


class AccuracyRow(KeyedRecord):
    """One file on one set of samples; shares are between 0 and 1.

    Attributes:
        format: of the file, or ``reference`` for the float PyTorch model.
        artifact_sha256: of the model file; None before schema 6, as is `runtime`.
        runtime: name and version.
        images: number of samples.
        top1: share of samples whose label is the first answer; None without labels.
        top5: the same for the first five answers.
        agreement: share of samples with the reference's first answer; None if the task has no
            classes.
        sqnr_db: of the answers against the reference's, in dB; None when they are equal; of
            several outputs the lowest.
        outputs: where the task measures each.
        metrics: of the task's own; the same in every row of a result.
    """

    quantize: str
    artifact_sha256: Digest | None = None
    runtime: str | None = None
    images: int = Field(gt=0, le=MAX_COUNT)
    top1: Fraction | None
    top5: Fraction | None
    agreement: Fraction | None
    sqnr_db: float | None
    outputs: Many[OutputRow] = ()
    metrics: Many[Metric] = ()
    images_per_second: float = Field(ge=0)

    @field_validator("metrics")
    @classmethod
    def _have_own_names(cls, metrics: tuple[Metric, ...]) -> tuple[Metric, ...]:
        names = [metric.heading for metric in metrics]
        if len(set(names)) < len(names):
            raise ValueError("two metrics have one name")
        return metrics


class AccuracyResult(Record):
    """The result of `kit eval`.

    Attributes:
        task: of the bundle.
        pictures: name of the folder or zip of samples.
        pictures_sha256: of the contents and labels of the samples that were evaluated.
        left_out: samples of the set that calibrated the bundle and so were not evaluated.
        batch: samples in each inference of a file; of the float model it is one.
        threads: of each runtime; None before schema 6.
        notices: where the labels come from, and what is doubtful about them.
    """

    schema_version: int = Field(default=SCHEMA_VERSION, ge=1, strict=True)
    kind: Literal["accuracy"] = "accuracy"
    kit_version: str
    created: datetime
    identity: Identity | None = None
    bundle: BundleRef
    task: str = "image-classification"
    pictures: str
    pictures_sha256: str
    left_out: BoundedCount = 0
    batch: int = Field(default=1, gt=0, le=MAX_COUNT)
    threads: int | None = Field(default=None, gt=0, le=MAX_COUNT)
    notices: Many[Notice] = ()
    rows: Many[AccuracyRow]
