"""Mean IoU, pixel accuracy, agreement and SQNR of maps of logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from kit.comparison import SqnrSum
from kit.images.masks import Mask, choose_ignored
from kit.results.accuracy import Metric
from kit.signature import AnyArray, Samples
from kit.tasks.evaluation import Tally

Counts = NDArray[np.int64]


class MapsTally(Tally):
    """Sums over the pictures so far."""

    def __init__(self) -> None:
        self._sqnr = SqnrSum()
        self._pixels = self._agree = 0
        self._confusion: Counts | None = None  # [class of the mask, class of the answer]

    def add(self, answers: Samples, reference: Samples, targets: Sequence[Mask | None]) -> None:
        """Add answers [N, classes, H, W], the float model's, and the masks or None."""
        logits, right = answers.arrays[0], reference.arrays[0]
        same = logits.argmax(1) == right.argmax(1)
        self._agree += int(same.sum())
        self._pixels += same.size
        self._sqnr.add(right, logits)
        for row, mask in zip(logits, targets, strict=True):
            if mask is not None:
                counts = count_classes(mask, resize_logits(row, mask.shape).argmax(0), len(row))
                self._confusion = counts if self._confusion is None else self._confusion + counts

    def measure(self) -> Mapping[str, object]:
        """Return the agreement as a share, the SQNR in dB, and the two metrics in percent."""
        metrics: tuple[Metric, ...] = ()
        if self._confusion is not None:
            metrics = (
                Metric(name="mean IoU", value=100 * compute_mean_iou(self._confusion), unit="%"),
                Metric(
                    name="pixel accuracy", value=100 * compute_accuracy(self._confusion), unit="%"
                ),
            )
        return {
            "agreement": self._agree / self._pixels,
            "sqnr_db": self._sqnr.sqnr_db,
            "metrics": metrics,
        }


def resize_logits(logits: AnyArray, size: tuple[int, ...]) -> AnyArray:
    """Return logits [classes, H, W] in another size, bilinear as torchvision's networks do."""
    if logits.shape[1:] == size:
        return logits
    import torch
    from torch.nn.functional import interpolate

    batch = torch.from_numpy(logits.astype(np.float32)[None])
    resized = interpolate(batch, size=tuple(size), mode="bilinear", align_corners=False)
    return np.asarray(resized[0].numpy())


def count_classes(mask: Mask, answer: NDArray[np.intp], classes: int) -> Counts:
    """Return how many pixels of each class were given each class, [classes, classes]."""
    counted = mask != choose_ignored(classes)
    pairs = classes * mask[counted] + answer[counted]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def compute_mean_iou(confusion: Counts) -> float:
    """Return the mean intersection over union of the classes that the masks have, 0..1.

    0 if no pixel has a class. Classes that only the answers have are in the unions of others.
    """
    right = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - right
    there = confusion.sum(1) > 0
    return float((right[there] / union[there]).mean()) if there.any() else 0.0


def compute_accuracy(confusion: Counts) -> float:
    """Return the share of pixels with the class of the mask, 0..1; 0 without pixels."""
    return float(np.diag(confusion).sum() / max(1, confusion.sum()))
