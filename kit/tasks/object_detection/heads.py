"""The outputs of a detector as a network returns them, and its description.

A network is one of torchvision's single-stage detectors, whose post-processing is taken off, or
one of the user's own with an attribute ``detection``: a dict with fields of
`kit.detection.Detection`, the tensor ``anchors``, and ``fit``: `stretch` and `letterbox` as in
`kit.manifest.preprocessing.Preprocessing`, or `crop`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeGuard

from pydantic import ValidationError

from kit.calibration import DetectorOutputs
from kit.detection import Detection
from kit.documents import describe_fault
from kit.error_text import shorten_value
from kit.errors import RecipeError, suggest
from kit.network import convert_output, replace_forward
from kit.tasks.object_detection.boxes import BOX, Sides

if TYPE_CHECKING:
    from torch import Tensor, nn

    from kit.signature import FloatArray

LibraryObject = Any  # torchvision has no types
DetectorFit: TypeAlias = Literal["stretch", "letterbox", "crop"]

ANCHORS_FILE = "anchors.npy"
SCORES, BOXES, PREDICTIONS = "scores", "boxes", "predictions"
_SCORE_KEYS = (SCORES, "logits", "cls_logits", "class_logits", "pred_logits")
_BOX_KEYS = (BOXES, "bbox_regression", "deltas", "pred_boxes")
_TORCHVISION = "torchvision.models.detection."
_SINGLE_STAGE = ("SSD", "RetinaNet")
_RANK = 3  # of all outputs
HINT = (
    "it must return scores [N, boxes, classes] and boxes [N, boxes, 4], as a dict or a tuple, or "
    "one tensor of both, [N, 4 + classes, boxes] or [N, boxes, 4 + classes]"
)
_DESCRIBE = "give the network an attribute detection, a dict: docs/detection.md has its entries"


def adapt_outputs(model: nn.Module, name: str = "the network") -> nn.Module:
    """Let a detector return ``(scores, boxes)``, or one tensor of both; it is changed in place.

    What is no such answer is returned as it is.

    Raises:
        RecipeError: it is a detector of torchvision's with a second stage, or FCOS.
    """
    kind = _find_kind(model)
    if kind is None:
        return convert_output(model, _arrange)
    if kind not in _SINGLE_STAGE:
        raise RecipeError(
            f"{name} is torchvision's {kind}, whose boxes are not computed by a fixed graph from "
            "anchors",
            "use one of its single-stage detectors: SSDLite, SSD or RetinaNet",
        )
    return replace_forward(model, _run_heads)


def _find_kind(model: nn.Module) -> str | None:
    """Return the class of torchvision's that a network is of, without importing torchvision."""
    kinds = [k for k in type(model).__mro__ if k.__module__.startswith(_TORCHVISION)]
    return kinds[-1].__name__ if kinds else None


def _run_heads(self: LibraryObject, images: Tensor) -> tuple[Tensor, Tensor]:
    """The ``forward`` of a detector without transformation of its input and post-processing."""
    head_outputs = self.head(_list_features(self, images))
    return head_outputs["cls_logits"], head_outputs["bbox_regression"]


def _list_features(model: LibraryObject, images: Tensor) -> list[Tensor]:
    features = model.backbone(images)
    return list(features.values()) if isinstance(features, Mapping) else [features]


def _arrange(answer: object) -> object:
    """Return the outputs in kit's order; an answer of another form as it is."""
    if isinstance(answer, Mapping):
        return _pick(answer) or answer
    if not isinstance(answer, tuple | list) or not answer:
        return answer
    fields = getattr(answer, "_fields", None)
    if fields and (picked := _pick(dict(zip(fields, answer, strict=True)))):
        return picked
    # YOLO's networks return features beside their predictions, for the loss of a training.
    if _is_table(answer[0]) and not any(_is_table(one) for one in answer[1:]):
        return answer[0]
    if len(answer) == 2 and all(map(_is_table, answer)):
        boxes = [one for one in answer if one.shape[-1] == BOX]
        if len(boxes) == 1:
            return next(one for one in answer if one is not boxes[0]), boxes[0]
    return answer


def _pick(answer: Mapping[str, object]) -> tuple[object, object] | None:
    scores = next((answer[key] for key in _SCORE_KEYS if key in answer), None)
    boxes = next((answer[key] for key in _BOX_KEYS if key in answer), None)
    return None if scores is None or boxes is None else (scores, boxes)


def _is_table(value: object) -> TypeGuard[Tensor]:
    import torch

    return isinstance(value, torch.Tensor) and value.dim() == _RANK


def accept_shapes(shapes: Sequence[tuple[int, ...]]) -> bool:
    """Return whether outputs are those of a detector, in kit's order."""
    if any(len(shape) != _RANK for shape in shapes):
        return False
    if len(shapes) == 1:
        return min(shapes[0][1:]) > BOX
    return len(shapes) == 2 and shapes[1] == (*shapes[0][:2], BOX)


def name_outputs(count: int) -> tuple[str, ...]:
    """Return the names of one or two outputs."""
    return (PREDICTIONS,) if count == 1 else (SCORES, BOXES)


def describe_outputs(
    model: nn.Module, shapes: Sequence[tuple[int, ...]], sides: Sides, name: str
) -> tuple[DetectorOutputs, DetectorFit]:
    """Return how the outputs of a network become boxes, and how pictures become its input.

    Args:
        model: from `adapt_outputs`.
        shapes: of its outputs for one picture.
        sides: height and width of the input, in pixels.
        name: of the model, for messages.

    Raises:
        RecipeError: the network does not say it, or says something that cannot be.
    """
    if _find_kind(model) is not None:
        return _describe_library(model, shapes, sides)
    given = getattr(model, "detection", None)
    if given is None and len(shapes) > 1:
        raise RecipeError(f"{name} does not say how its numbers become boxes", _DESCRIBE)
    if given is not None and not isinstance(given, Mapping):
        raise RecipeError(f"{name}.detection is {type(given).__name__}, and no dict", _DESCRIBE)
    return _describe_own(dict(given or {}), shapes, name)


def _describe_own(
    given: dict[str, object], shapes: Sequence[tuple[int, ...]], name: str
) -> tuple[DetectorOutputs, DetectorFit]:
    joined = len(shapes) == 1
    fit = given.pop("fit", "letterbox" if joined else "stretch")
    if fit not in ("stretch", "letterbox", "crop"):
        raise RecipeError(
            f"{name}.detection has fit = {shorten_value(fit)}", "use stretch, letterbox or crop"
        )
    anchors = _read_anchors(given.pop("anchors", None), name)
    known = set(Detection.model_fields) - {"layout", "classes", "anchors"}
    for key in given:
        if key not in known:
            raise RecipeError(
                f"{name}.detection has no entry {shorten_value(key)}",
                suggest(str(key), sorted({*known, "anchors", "fit"})),
            )
    fields: dict[str, object] = {"coding": "cxcywh"} if joined else {}
    if anchors is not None:
        fields |= {"coding": "deltas", "anchors": ANCHORS_FILE}
    fields |= given
    objectness = bool(fields.get("objectness"))
    if joined:
        columns = shapes[0][1] < shapes[0][2]  # there are more boxes than classes
        fields["layout"] = "columns" if columns else "rows"
        fields["classes"] = min(shapes[0][1:]) - BOX - objectness
    else:
        fields |= {"layout": "separate", "classes": shapes[0][2]}
    try:
        record = Detection.model_validate(fields)
        record.check_shapes(shapes)
        count = record.count_boxes(shapes[0])
        if anchors is not None and len(anchors) != count:
            raise ValueError(f"it has {len(anchors)} anchors, and the outputs {count} boxes")
    except ValueError as exc:
        what = describe_fault(exc) if isinstance(exc, ValidationError) else str(exc)
        raise RecipeError(f"{name}.detection cannot be used: {what}", _DESCRIBE) from exc
    return DetectorOutputs(record, anchors), fit


def _read_anchors(given: object, name: str) -> FloatArray | None:
    import numpy as np
    import torch

    if given is None:
        return None
    try:
        tensor = torch.as_tensor(given, dtype=torch.float32).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as exc:
        raise RecipeError(f"{name}.detection has anchors that are no numbers", _DESCRIBE) from exc
    if tensor.dim() != 2 or tensor.shape[1] != BOX or not tensor.isfinite().all():
        raise RecipeError(
            f"{name}.detection has anchors {list(tensor.shape)}, or not finite ones",
            "they are corners [boxes, 4] in pixels of the input: x1, y1, x2, y2",
        )
    return np.ascontiguousarray(tensor.numpy())


def _describe_library(
    model: LibraryObject, shapes: Sequence[tuple[int, ...]], sides: Sides
) -> tuple[DetectorOutputs, DetectorFit]:
    """Describe a detector of torchvision's by its own attributes."""
    import numpy as np
    import torch
    from torchvision.models.detection.image_list import ImageList

    is_ssd = _find_kind(model) == "SSD"
    images = torch.zeros(1, 3, *sides)
    with torch.no_grad():
        features = _list_features(model, images)
        anchors = model.anchor_generator(ImageList(images, [sides]), features)[0]
    places = [feature.shape[2] * feature.shape[3] for feature in features]
    each = len(anchors) // sum(places)
    record = Detection(
        layout="separate",
        classes=shapes[0][2],
        background=0 if is_ssd else None,
        activation="softmax" if is_ssd else "sigmoid",
        coding="deltas",
        weights=tuple(map(float, model.box_coder.weights)),
        anchors=ANCHORS_FILE,
        levels=() if is_ssd else tuple(each * count for count in places),
        score_threshold=model.score_thresh,
        candidates=model.topk_candidates,
        candidates_of="class" if is_ssd else "level",
        nms_iou=model.nms_thresh,
        max_detections=model.detections_per_img,
    )
    corners = np.ascontiguousarray(anchors.numpy().astype(np.float32))
    return DetectorOutputs(record, corners), "stretch" if is_ssd else "letterbox"


def find_normalization(model: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return mean and deviation of pixels of 0 to 1 that torchvision's detectors have, or None."""
    if _find_kind(model) is None:
        return None
    transform: LibraryObject = model.transform
    return tuple(map(float, transform.image_mean)), tuple(map(float, transform.image_std))
