"""Scores of a model against the original float model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.comparison import compute_sqnr_db
from kit.signature import FloatArray

Labels = NDArray[np.int64]
MeasureAgreement = Callable[[FloatArray, FloatArray], float]  # of the float model's and others


@dataclass(frozen=True)
class Score:
    """Score on pictures against the float model.

    Attributes:
        images: number of pictures.
        sqnr_db: signal to quantization noise ratio of the logits; None when they are equal.
        agreement: share of pictures, or of their pixels, with the same top-1 answer, 0..1.
        drop: points of top-1 lost, in percent; None without labels.
    """

    images: int
    sqnr_db: float | None
    agreement: float
    drop: float | None

    def record(self) -> dict[str, object]:
        """Return the numbers for JSON."""
        return {
            "images": self.images,
            "sqnr_db": self.sqnr_db,
            "agreement": self.agreement,
            "drop": self.drop,
        }


def compute_score(
    reference: FloatArray,
    logits: FloatArray,
    labels: Labels | None = None,
    measure_agreement: MeasureAgreement | None = None,
) -> Score:
    """Compare logits with the float model's, and with labels [N] if there are any.

    Args:
        reference: [N, classes], or [N, classes, …] for a class of each pixel.
        logits: of as many values.
        labels: for a class of each picture.
        measure_agreement: of answers of another kind; None compares the largest logits.
    """
    logits = logits.reshape(reference.shape)
    if measure_agreement is None:
        agreement = float(np.mean(reference.argmax(1) == logits.argmax(1)))
    else:
        agreement = measure_agreement(reference, logits)
    drop = None
    if labels is not None:
        right, now = (100 * float(np.mean(x.argmax(1) == labels)) for x in (reference, logits))
        drop = right - now
    return Score(len(logits), compute_sqnr_db(reference, logits), agreement, drop)
