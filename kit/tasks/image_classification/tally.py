"""Top-1, top-5, agreement and SQNR of logits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from kit.signature import AnyArray, Samples
from kit.tasks.interface import Tally

_TOP = 5


class LogitsTally(Tally):
    """Sums over the pictures so far."""

    def __init__(self) -> None:
        self._images = self._top1 = self._top5 = self._agree = 0
        self._signal = self._noise = 0.0
        self._labelled = False

    def add(self, answers: Samples, reference: Samples, targets: Sequence[int | None]) -> None:
        """Add answers [N, classes], the float model's answers, and the labels or None."""
        logits, right = answers.arrays[0], reference.arrays[0]
        ranks = rank_classes(logits)
        self._images += len(logits)
        self._agree += int((ranks[:, 0] == rank_classes(right)[:, 0]).sum())
        wide = right.astype(np.float64)
        self._signal += float((wide**2).sum())
        self._noise += float(((wide - logits) ** 2).sum())
        for rank, label in zip(ranks, targets, strict=True):
            if label is not None:
                self._labelled = True
                self._top1 += int(rank[0] == label)
                self._top5 += int(label in rank)

    def measure(self) -> Mapping[str, object]:
        """Return top-1, top-5 and agreement as shares 0..1, and the SQNR in dB."""
        return {
            "top1": self._top1 / self._images if self._labelled else None,
            "top5": self._top5 / self._images if self._labelled else None,
            "agreement": self._agree / self._images,
            "sqnr_db": self._sqnr_db(),
        }

    def _sqnr_db(self) -> float | None:
        if self._noise == 0:
            return None
        tiny = float(np.finfo(np.float64).tiny)  # avoids log10(0) where the reference is zero
        return 10 * math.log10(max(self._signal, tiny) / self._noise)


def rank_classes(logits: AnyArray) -> NDArray[np.intp]:
    """Return the top five classes [N, 5]; equal logits, common in int8, rank by lower index."""
    return np.argsort(-logits, axis=1, kind="stable")[:, :_TOP]
