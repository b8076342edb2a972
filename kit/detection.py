"""How the outputs of a detector become boxes, as `bundle.json` describes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from kit.documents import MAX_CLASSES, Count, Positive, Record, Share
from kit.signature import MAX_TENSORS

Scale = Annotated[float, Field(gt=0, le=1e6)]


class Detection(Record):
    """How the outputs of a detector become boxes with classes; its files do not do this.

    Scores become probabilities by `activation`, and numbers boxes by `coding`. Of the boxes with
    a probability above `score_threshold` the best `candidates` of each class or level are kept,
    cut at the edges of the input, and reduced class by class by non-maximum suppression.

    Attributes:
        layout: ``separate`` outputs ``scores`` [1, N, classes] and ``boxes`` [1, N, 4]; or one,
            ``predictions``, with the four numbers of a box before its scores, in ``rows``
            [1, N, 4 + classes] or in ``columns`` [1, 4 + classes, N].
        classes: number of scores of a box.
        background: the class that is no object; None if there is none.
        objectness: ``predictions`` have a score after the box that those of classes are
            multiplied by.
        activation: of the scores.
        coding: ``xyxy`` corners; ``cxcywh`` centre and size; ``deltas`` from `anchors`, as
            Faster R-CNN has them (arXiv 1506.01497, section 3.1.2), the logarithms of sizes at
            most log(1000 / 16).
        unit: of the numbers, in `coding` other than deltas: pixels of the input, or shares of it.
        weights: that deltas are divided by, which other libraries call the inverse of variances.
        anchors: file of float32 corners [N, 4] in pixels of the input.
        levels: number of anchors in each level of a pyramid; empty for one level.
        score_threshold: probability that a box must exceed.
        candidates: limit before the suppression, of each class or of each level.
        candidates_of: what has that limit.
        nms_iou: boxes of a class that overlap a better one by more are dropped; 1 keeps all.
        max_detections: limit of boxes in a picture.
        shown_score: probability of the boxes that are shown, and that two models must agree on.
    """

    layout: Literal["separate", "rows", "columns"]
    classes: Annotated[int, Field(strict=True, ge=1, le=MAX_CLASSES)]
    background: Count | None = None
    objectness: bool = False
    activation: Literal["none", "sigmoid", "softmax"] = "none"
    coding: Literal["xyxy", "cxcywh", "deltas"]
    unit: Literal["pixels", "share"] = "pixels"
    weights: tuple[Scale, Scale, Scale, Scale] = (1.0, 1.0, 1.0, 1.0)
    anchors: Literal["anchors.npy"] | None = None
    levels: Annotated[tuple[Positive, ...], Field(max_length=MAX_TENSORS)] = ()
    score_threshold: Share = 0.05
    candidates: Positive = 1000
    candidates_of: Literal["class", "level"] = "level"
    nms_iou: Share = 0.5
    max_detections: Positive = 100
    shown_score: Share = 0.5

    @model_validator(mode="after")
    def _fits_together(self) -> Detection:
        if (self.coding == "deltas") != (self.anchors is not None):
            raise ValueError("anchors belong to the coding deltas, and deltas to anchors")
        if self.background is not None and self.background >= self.classes:
            raise ValueError(f"background is {self.background}, of {self.classes} classes")
        if self.background is not None and self.classes == 1:
            raise ValueError("the only class is the background")
        if self.objectness and self.layout == "separate":
            raise ValueError("objectness is a part of one output with boxes and scores")
        return self

    def count_boxes(self, shape: tuple[int, ...]) -> int:
        """Return the number of boxes, N, by the shape of the first output; 0 if it has none."""
        return (*shape, 0, 0, 0)[2 if self.layout == "columns" else 1]

    def check_shapes(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Check the shapes of a model's outputs.

        Raises:
            ValueError: they are not those that the layout needs.
        """
        count = self.count_boxes(shapes[0])
        width = 4 + self.objectness + self.classes
        expected = {
            "separate": [(1, count, self.classes), (1, count, 4)],
            "rows": [(1, count, width)],
            "columns": [(1, width, count)],
        }[self.layout]
        if list(shapes) != expected:
            raise ValueError(f"the outputs are {list(shapes)}, and a detector's {expected}")
        if self.levels and sum(self.levels) != count:
            raise ValueError(f"levels are of {sum(self.levels)} boxes, and there are {count}")
