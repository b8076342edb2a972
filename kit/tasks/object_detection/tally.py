"""mAP, agreement of boxes, and SQNR of each output."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kit.images.resizing import Placement
from kit.results.accuracy import Metric
from kit.signature import Samples, Signature
from kit.tasks.object_detection.annotations import TrueBox
from kit.tasks.object_detection.boxes import Boxes, count_matches, find_boxes
from kit.tasks.object_detection.evaluation import DetectionTarget
from kit.tasks.tensors.tally import TensorsTally

CocoRecord = dict[str, Any]  # Any: of JSON

MAP, MAP50 = "mAP@50:95", "mAP@50"  # the first is `ObjectDetection.drop_metric`


class BoxesTally(TensorsTally):
    """Sums over the pictures so far, and their boxes."""

    def __init__(self, signature: Signature) -> None:
        super().__init__(signature)
        self._matches = self._boxes = 0
        self._truth: list[tuple[TrueBox, ...]] = []
        self._found: list[Boxes] = []

    def add(
        self, answers: Samples, reference: Samples, targets: Sequence[DetectionTarget | None]
    ) -> None:
        """Add answers, the float model's, and what their pictures have."""
        super().add(answers, reference, [None] * len(answers))
        for index, target in enumerate(targets):
            if target is None:
                continue
            one = find_boxes(answers[index], target.outputs, target.sides)
            right = find_boxes(reference[index], target.outputs, target.sides)
            shown = target.outputs.record.shown_score
            self._count(one.above(shown), right.above(shown))
            if target.boxes is not None:
                self._truth.append(target.boxes)
                self._found.append(place_boxes(one, target.placement))

    def _count(self, one: Boxes, right: Boxes) -> None:
        self._matches += 2 * count_matches(right, one)
        self._boxes += len(one) + len(right)

    def measure(self) -> Mapping[str, object]:
        """Return the agreement as a share, mAP in percent, and a row of each output.

        The agreement is the share of the boxes of both models that have a partner in the other,
        None if neither model has one.
        """
        metrics: tuple[Metric, ...] = ()
        if self._truth:
            whole, half = measure_map(self._truth, self._found)
            metrics = (
                Metric(name=MAP, value=100 * whole, unit="%"),
                Metric(name=MAP50, value=100 * half, unit="%"),
            )
        agreement = self._matches / self._boxes if self._boxes else None
        return {**super().measure(), "agreement": agreement, "metrics": metrics}


def place_boxes(boxes: Boxes, place: Placement) -> Boxes:
    """Return boxes in pixels of the picture instead of the input, inside of the picture."""
    scale, offset = np.array(place.scale * 2), np.array(place.offset * 2)
    corners = ((boxes.corners - offset) / scale).clip(0, np.array(place.size * 2))
    return Boxes(corners.astype(np.float32), boxes.scores, boxes.classes)


def measure_map(
    truth: Sequence[Sequence[TrueBox]], predicted: Sequence[Boxes]
) -> tuple[float, float]:
    """Return the mean average precision over IoU of 0.5 to 0.95, and at 0.5, as shares.

    Both are pycocotools': precision at 101 recalls, up to 100 boxes of each class in a picture,
    the mean over classes that pictures have. Without any box, both are 0.

    Args:
        truth: boxes in each picture.
        predicted: boxes that a model gives for each.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    labels = {box.label for boxes in truth for box in boxes}
    if not labels:
        return 0.0, 0.0
    with contextlib.redirect_stdout(io.StringIO()):
        right, answers = COCO(), COCO()
        images = [{"id": number} for number in range(1, len(truth) + 1)]
        categories = [{"id": label} for label in sorted(labels)]
        shared = {"images": images, "categories": categories}
        right.dataset = {**shared, "annotations": _list_truth(truth)}
        answers.dataset = {**shared, "annotations": _list_predicted(predicted, labels)}
        right.createIndex()
        answers.createIndex()
        evaluation = COCOeval(right, answers, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    # [IoU, recall, class, area, limit of boxes]: all areas, the largest limit
    precision = evaluation.eval["precision"][..., 0, -1]
    counted = precision[:, :, (precision > -1).any((0, 1))]
    if not counted.size:  # crowds only
        return 0.0, 0.0
    return float(counted.mean()), float(counted[0].mean())


def _list_truth(truth: Sequence[Sequence[TrueBox]]) -> list[CocoRecord]:
    records: list[CocoRecord] = []
    for image, boxes in enumerate(truth, 1):
        for box in boxes:
            x1, y1, x2, y2 = box.corners
            records.append(
                {
                    "id": len(records) + 1,
                    "image_id": image,
                    "category_id": box.label,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": box.area,
                    "iscrowd": int(box.crowd),
                }
            )
    return records


def _list_predicted(predicted: Sequence[Boxes], labels: set[int]) -> list[CocoRecord]:
    records: list[CocoRecord] = []
    for image, boxes in enumerate(predicted, 1):
        columns = (boxes.corners, boxes.scores, boxes.classes)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        for (x1, y1, x2, y2), score, label in rows:
            if label in labels:
                records.append(
                    {
                        "id": len(records) + 1,
                        "image_id": image,
                        "category_id": label,
                        "bbox": [x1, y1, x2 - x1, y2 - y1],
                        "area": (x2 - x1) * (y2 - y1),
                        "iscrowd": 0,
                        "score": score,
                    }
                )
    return records
