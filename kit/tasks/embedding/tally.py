"""SQNR, cosines, and which picture is nearest to which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from kit.comparison import compute_cosine
from kit.results.accuracy import Metric
from kit.signature import AnyArray, Samples, Signature
from kit.tasks.tensors.tally import TensorsTally

_AT_ONCE = 1024  # pictures whose neighbours are searched together: their angles take memory
_SHORTEST = 1e-30  # avoids division by zero

Positions = NDArray[np.intp]


class VectorsTally(TensorsTally):
    """Vectors of the pictures so far: a nearest neighbour is among all of them."""

    def __init__(self, signature: Signature) -> None:
        super().__init__(signature)
        self._vectors: list[AnyArray] = []
        self._reference: list[AnyArray] = []
        self._groups: list[str | None] = []
        self._worst = 1.0

    def add(self, answers: Samples, reference: Samples, targets: Sequence[str | None]) -> None:
        """Add vectors [N, numbers], the float model's, and the classes or None."""
        super().add(answers, reference, [None] * len(answers))
        vectors, right = answers.arrays[0], reference.arrays[0]
        pairs = (compute_cosine(right[i : i + 1], vectors[i : i + 1]) for i in range(len(vectors)))
        self._worst = min(self._worst, *pairs)
        self._vectors.append(vectors)
        self._reference.append(right)
        self._groups += targets

    def measure(self) -> Mapping[str, object]:
        """Return SQNR and mean cosine, the worst cosine, and shares of neighbours in percent."""
        metrics = [Metric(name="worst cosine", value=self._worst)]
        if len(self._groups) > 1:
            nearest = find_nearest(np.concatenate(self._vectors))
            expected = find_nearest(np.concatenate(self._reference))
            same = 100 * float((nearest == expected).mean())
            metrics.append(Metric(name="same neighbour", value=same, unit="%"))
            recall = compute_recall_at_1(nearest, self._groups)
            if recall is not None:
                metrics.append(Metric(name="recall@1", value=100 * recall, unit="%"))
        return {**super().measure(), "metrics": tuple(metrics)}


def find_nearest(vectors: AnyArray) -> Positions:
    """Return for each of N vectors the position of another one at the smallest angle to it, [N].

    Of several at one angle it is the first.
    """
    wide = vectors.reshape(len(vectors), -1).astype(np.float64)
    units = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), _SHORTEST)
    nearest = []
    for start in range(0, len(units), _AT_ONCE):
        cosines = units[start : start + _AT_ONCE] @ units.T
        rows = np.arange(len(cosines))
        cosines[rows, start + rows] = -np.inf  # a picture is not its own neighbour
        nearest.append(cosines.argmax(1))
    return np.concatenate(nearest)


def compute_recall_at_1(nearest: Positions, groups: Sequence[str | None]) -> float | None:
    """Return the share of pictures whose nearest neighbour is of their class, 0..1.

    A picture that is alone in its class has no right answer and does not count; None if none
    counts, or there are no classes.
    """
    names = np.array([str(group) for group in groups])
    if any(group is None for group in groups):
        return None
    distinct, place, counts = np.unique(names, return_inverse=True, return_counts=True)
    counted = counts[place] > 1
    if len(distinct) < 2 or not counted.any():
        return None
    return float((names[nearest] == names)[counted].mean())
