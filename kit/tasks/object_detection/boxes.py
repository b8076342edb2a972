"""Boxes of a detector's outputs: decoding, selection, non-maximum suppression.

This is what `kit.detection.Detection` describes. `tests/test_detection.py` compares it with
torchvision's own detectors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kit.calibration import DetectorOutputs
from kit.signature import FloatArray, Samples, Tensors

if TYPE_CHECKING:
    from torch import Tensor

    from kit.detection import Detection

_MAX_LOG_SCALE = math.log(1000 / 16)  # of deltas, as torchvision and Detectron have it
BOX = 4  # numbers

Sides = tuple[int, int]  # height and width in pixels


@dataclass(frozen=True)
class Boxes:
    """Boxes in one picture, the most probable first.

    Attributes:
        corners: x and y of the upper left corner, then of the lower right one, [N, 4].
        scores: probabilities [N].
        classes: indices [N].
    """

    corners: FloatArray
    scores: FloatArray
    classes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.scores)

    def above(self, score: float) -> Boxes:
        """Return the boxes of this probability or more."""
        kept = self.scores >= score
        return Boxes(self.corners[kept], self.scores[kept], self.classes[kept])


def find_boxes(answer: Tensors, outputs: DetectorOutputs, sides: Sides) -> Boxes:
    """Return the boxes of one answer, in pixels of the input.

    Args:
        answer: values of the model's outputs for one picture.
        outputs: of the model.
        sides: height and width of its input, in pixels.
    """
    import torch
    from torchvision.ops import batched_nms, clip_boxes_to_image

    record = outputs.record
    scores, numbers = _split(answer, record)
    corners = clip_boxes_to_image(_decode(numbers, outputs, sides), sides)
    rows, classes = _select(scores, record)
    chosen, values = corners[rows], scores[rows, classes]
    if record.nms_iou < 1:
        kept = batched_nms(chosen, values, classes, record.nms_iou)
    else:
        kept = torch.argsort(values, descending=True, stable=True)
    kept = kept[: record.max_detections]
    return Boxes(chosen[kept].numpy(), values[kept].numpy(), classes[kept].numpy())


def _split(answer: Tensors, record: Detection) -> tuple[Tensor, Tensor]:
    """Return the probabilities [N, classes], and the numbers of the boxes [N, 4]."""
    import torch

    tensors = [torch.from_numpy(np.ascontiguousarray(v, np.float32))[0] for v in answer]
    if record.layout == "separate":
        scores, numbers = tensors
        return _activate(scores, record), numbers
    table = tensors[0].T if record.layout == "columns" else tensors[0]
    scores = _activate(table[:, BOX + record.objectness :], record)
    if record.objectness:
        objects = table[:, BOX : BOX + 1]
        scores = scores * (objects if record.activation == "none" else objects.sigmoid())
    return scores, table[:, :BOX]


def _activate(scores: Tensor, record: Detection) -> Tensor:
    if record.activation == "softmax":
        return scores.softmax(-1)
    return scores.sigmoid() if record.activation == "sigmoid" else scores


def _decode(numbers: Tensor, outputs: DetectorOutputs, sides: Sides) -> Tensor:
    """Return corners [N, 4] in pixels."""
    import torch

    record = outputs.record
    if record.coding == "deltas":
        assert outputs.anchors is not None  # the record requires them
        return _decode_deltas(numbers, torch.from_numpy(outputs.anchors), record.weights)
    if record.unit == "share":
        numbers = numbers * torch.tensor(sides[::-1] * 2)  # of x, y, x, y
    if record.coding == "xyxy":
        return numbers
    centre, half = numbers[:, :2], numbers[:, 2:] / 2
    return torch.cat([centre - half, centre + half], 1)


def _decode_deltas(
    numbers: Tensor, anchors: Tensor, weights: tuple[float, float, float, float]
) -> Tensor:
    import torch

    sizes = anchors[:, 2:] - anchors[:, :2]
    centres = anchors[:, :2] + 0.5 * sizes
    shift, scale = (numbers / torch.tensor(weights)).split(2, 1)
    centre = shift * sizes + centres
    half = 0.5 * (scale.clamp(max=_MAX_LOG_SCALE).exp() * sizes)
    return torch.cat([centre - half, centre + half], 1)


def _select(scores: Tensor, record: Detection) -> tuple[Tensor, Tensor]:
    """Return rows and classes of the boxes that take part in the suppression."""
    import torch

    count, classes = scores.shape
    if record.candidates_of == "level":
        pairs, start = [], 0
        for length in record.levels or (count,):
            level = _mask_background(scores[start : start + length], record.background)
            best = _take_best(level.flatten(), record)
            pairs.append(best + start * classes)
            start += length
        flat = torch.cat(pairs)
        return flat // classes, flat % classes
    indices = [index for index in range(classes) if index != record.background]
    rows_taken = [_take_best(scores[:, index], record) for index in indices]
    labels = [torch.full_like(rows, index) for rows, index in zip(rows_taken, indices, strict=True)]
    return torch.cat(rows_taken), torch.cat(labels)


def _mask_background(scores: Tensor, background: int | None) -> Tensor:
    if background is None:
        return scores
    masked = scores.clone()
    masked[:, background] = -1
    return masked


def _take_best(scores: Tensor, record: Detection) -> Tensor:
    """Return the indices of the best scores above the threshold."""
    import torch

    indices = torch.where(scores > record.score_threshold)[0]
    best = scores[indices].topk(min(len(indices), record.candidates)).indices
    return indices[best]


def count_matches(left: Boxes, right: Boxes, iou: float = 0.5) -> int:
    """Return how many boxes of one set have a partner of the same class in the other.

    The most probable of the left choose first, and each takes the nearest one that is free.

    Args:
        left: whose boxes choose.
        right: boxes to be chosen.
        iou: that partners have in common at least.
    """
    overlaps = measure_iou(left.corners, right.corners)
    overlaps[left.classes[:, None] != right.classes[None]] = -1
    matches = 0
    for row in range(len(left)):
        if overlaps.shape[1] and overlaps[row].max() >= iou:
            overlaps[:, overlaps[row].argmax()] = -1
            matches += 1
    return matches


def compute_match_share(
    reference: Samples, answers: Samples, outputs: DetectorOutputs, sides: Sides
) -> float | None:
    """Return the share of the boxes of two models that have a partner in the other one's.

    Boxes below the record's `shown_score` do not count. None if there are no others.

    Args:
        reference: answers of one model.
        answers: of the other, to the same pictures.
        outputs: how they become boxes.
        sides: height and width of the input, in pixels.
    """
    matches = total = 0
    for index in range(len(reference)):
        left, right = (
            find_boxes(samples[index], outputs, sides).above(outputs.record.shown_score)
            for samples in (reference, answers)
        )
        matches += 2 * count_matches(left, right)
        total += len(left) + len(right)
    return matches / total if total else None


def measure_iou(left: FloatArray, right: FloatArray) -> NDArray[np.float64]:
    """Return the intersection over union of boxes [N, 4] and [M, 4], as [N, M]."""
    one, two = left[:, None].astype(np.float64), right[None].astype(np.float64)
    sides = np.minimum(one[..., 2:], two[..., 2:]) - np.maximum(one[..., :2], two[..., :2])
    common = sides.clip(0).prod(-1)
    areas = ((box[..., 2:] - box[..., :2]).prod(-1) for box in (one, two))
    ratio: NDArray[np.float64] = common / np.maximum(sum(areas) - common, 1e-12)
    return ratio
