"""Top-1, top-5, agreement and SQNR of logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from kit.comparison import SqnrSum
from kit.signature import AnyArray, Samples
from kit.tasks.evaluation import Tally

_TOP = 5


class LogitsTally(Tally):
    """Sums over the pictures so far."""

    def __init__(self) -> None:
        self._images = self._top1 = self._top5 = self._agree = 0
        self._sqnr = SqnrSum()
        self._labelled = False
        self._classes = 0

    def add(self, answers: Samples, reference: Samples, targets: Sequence[int | None]) -> None:
        """Add answers [N, classes], the float model's answers, and the labels or None."""
        logits, right = answers.arrays[0], reference.arrays[0]
        ranks = rank_classes(logits)
        self._images += len(logits)
        self._classes = logits.shape[1]
        self._agree += int((ranks[:, 0] == rank_classes(right)[:, 0]).sum())
        self._sqnr.add(right, logits)
        for rank, label in zip(ranks, targets, strict=True):
            if label is not None:
                self._labelled = True
                self._top1 += int(rank[0] == label)
                self._top5 += int(label in rank)

    def measure(self) -> Mapping[str, object]:
        """Return top-1, top-5 and agreement as shares 0..1, and the SQNR in dB.

        There is no top-5 of five classes or fewer: it would be 1 whatever the answers are.
        """
        ranked = self._labelled and self._classes > _TOP
        return {
            "top1": self._top1 / self._images if self._labelled else None,
            "top5": self._top5 / self._images if ranked else None,
            "agreement": self._agree / self._images,
            "sqnr_db": self._sqnr.sqnr_db,
        }


def rank_classes(logits: AnyArray) -> NDArray[np.intp]:
    """Return the top five classes [N, 5]; equal logits, common in int8, rank by lower index."""
    return np.argsort(-logits, axis=1, kind="stable")[:, :_TOP]
