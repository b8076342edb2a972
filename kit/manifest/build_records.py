"""What a bundle says about its build: weights, calibration, ranges, training, gate."""

from __future__ import annotations

from typing import Literal

from kit.artifact_key import KeyedRecord
from kit.documents import Count, Digest, NonNegative, Percent, Positive, Record, Share, Text


class Source(Record):
    """The source of the weights, and their digest."""

    source: Text
    sha256: Text


class Calibration(Record):
    """The samples that set the activation ranges.

    Attributes:
        source: of the samples, for messages.
        images: number of samples.
        sha256: of the set.
        pictures: SHA-256 of each of the user's samples, so that evaluations can leave them out.
        worst_layer: the layer with the largest share of clipped values on the golden inputs.
        outside: that share, 0..1.
    """

    source: Text
    images: Count
    sha256: Text
    pictures: tuple[Digest, ...] = ()
    worst_layer: Text
    outside: Share


class Range(Record):
    """The range of one activation, chosen by search.

    Attributes:
        name: of the layer or operation that outputs the tensor.
        low: value of the lowest level.
        high: value of the highest level.
        factor: ratio to the observed range.
        seen: minimum, maximum and mean value on two pictures; in schemas 1 and 2 only.
    """

    name: Text
    low: float
    high: float
    factor: NonNegative
    seen: tuple[float, float, float] | None = None


class Training(Record):
    """Record of quantization-aware training.

    Attributes:
        source: of the pictures.
        pictures: SHA-256 of each picture file, so that evaluations can leave them out.
        objective: ``distillation`` from the float model, or ``cross-entropy`` with labels.
        steps: number of optimizer steps.
        batch: pictures per step, over all processes.
        learning_rate: of Adam.
        processes: number of processes that trained together.
        sqnr_db: SQNR of the simulated int8 model against the float model in dB, before and after.
        kept: the trained weights are in the bundle; False if the initial ones were better.
        note: reason why training ended before its last step; else empty.
    """

    source: Text
    pictures: tuple[Digest, ...] = ()
    objective: Literal["distillation", "cross-entropy"]
    steps: Count
    batch: Positive
    learning_rate: NonNegative
    processes: Positive = 1
    sqnr_db: tuple[float, float]
    kept: bool
    note: Text = ""


class GateRow(KeyedRecord):
    """One file's accuracy: drop in points of top-1 or mAP, agreement in percent, SQNR in dB."""

    drop: float | None
    agreement: Percent
    sqnr_db: float | None


class GateRecord(Record):
    """The accuracy gate that the bundle passed.

    Attributes:
        pictures: name of the evaluation set.
        pictures_sha256: of the samples that were evaluated.
        images: number of samples.
        max_drop: limit in points of top-1, or of a detector's mAP, or None.
        min_agreement: limit in percent, or None.
        rows: scores of every file.
    """

    pictures: Text
    pictures_sha256: Digest
    images: Count
    max_drop: Percent | None
    min_agreement: Percent | None
    rows: tuple[GateRow, ...]
