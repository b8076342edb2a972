"""Pictures to evaluate a detector on, and the boxes in them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kit.calibration import DetectorOutputs
from kit.error_text import shorten_value
from kit.errors import MissingTool, PictureError
from kit.images import decode, to_array
from kit.images.resizing import Placement, find_placement
from kit.notices import Notice
from kit.signature import Samples
from kit.tasks.evaluation import EvaluationContext, EvaluationSet
from kit.tasks.image_classification.evaluation import Pictures, open_pictures
from kit.tasks.object_detection.annotations import (
    JSON,
    TEXT,
    ReadBoxes,
    TrueBox,
    find_annotations,
    read_coco,
    read_labels_file,
    read_texts,
)
from kit.tasks.object_detection.boxes import Sides


@dataclass(frozen=True)
class DetectionTarget:
    """What a tally needs to know of a picture.

    Attributes:
        outputs: how the answer becomes boxes.
        sides: height and width of the input, in pixels.
        placement: of the picture in the input.
        boxes: that are in it; None if they are not known.
    """

    outputs: DetectorOutputs
    sides: Sides
    placement: Placement
    boxes: tuple[TrueBox, ...] | None


@dataclass(frozen=True)
class AnnotatedPictures(EvaluationSet):
    """Pictures, all with boxes or all without.

    Attributes:
        pictures: not yet decoded.
        outputs: of the model.
        readers: of the boxes in each picture; None if there are none.
    """

    source: str
    sha256: str
    left_out: int
    notices: tuple[Notice, ...]
    pictures: Pictures
    outputs: DetectorOutputs
    readers: tuple[ReadBoxes, ...] | None

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def labelled(self) -> bool:
        """Return whether the boxes are known."""
        return self.readers is not None

    def load(self, start: int, stop: int) -> tuple[Samples, Sequence[DetectionTarget]]:
        """Return pictures [N, 3, H, W] and their targets."""
        pre = self.pictures.preprocessing
        inputs, targets = [], []
        for index in range(start, min(stop, len(self))):
            picture = self.pictures.pictures[index]
            image = decode(picture.read(), picture.name)
            inputs.append(to_array(image, pre, picture.name))
            boxes = None if self.readers is None else self.readers[index](image.size)
            place = find_placement(image.size, pre, picture.name)
            targets.append(DetectionTarget(self.outputs, pre.sides, place, boxes))
        return Samples(self.pictures.specs, (np.stack(inputs),)), targets


def open_annotated(
    context: EvaluationContext, source: Path, labels: Path | None, limit: int | None
) -> AnnotatedPictures:
    """Open pictures without those that calibrated, reduced to the limit, with their boxes.

    Args:
        context: of the evaluation.
        source: folder or zip of pictures.
        labels: file of COCO's annotations, or folder or zip of YOLO's text files; None takes the
            only JSON file beside the pictures.
        limit: number of pictures; None for all.

    Raises:
        UsageError: the limit leaves no picture.
        PictureError: the set or the annotations cannot be used.
        MissingTool: pycocotools is not installed, and there are annotations.
    """
    unlabelled = replace(context, labelled=False)
    pictures = open_pictures(unlabelled, source, None, limit, (JSON, TEXT))
    outputs = context.inputs.detection
    assert outputs is not None  # the manifest requires it of this task
    readers, digest = None, pictures.sha256
    if context.labelled:
        readers, content = _read_annotations(context, source, labels, pictures)
        digest = hashlib.sha256(f"{digest}\n{content}".encode()).hexdigest() if readers else digest
    if readers is not None:
        _check_package()
    return AnnotatedPictures(
        pictures.source,
        digest,
        pictures.left_out,
        pictures.notices,
        pictures,
        outputs,
        readers,
    )


def _read_annotations(
    context: EvaluationContext, source: Path, labels: Path | None, pictures: Pictures
) -> tuple[tuple[ReadBoxes, ...] | None, str]:
    """Return the readers of the boxes, and the digest of what they read."""
    names = [picture.name for picture in pictures.pictures]
    if labels is not None and (labels.is_dir() or labels.suffix.lower() == ".zip"):
        readers = read_texts(labels, names, context.inputs)
        return tuple(readers), _digest_boxes(readers)
    if labels is not None:
        name, content = str(labels), read_labels_file(labels)
    else:
        json_files = find_annotations(source)
        if not json_files:
            return None, ""
        if len(json_files) > 1:
            raise PictureError(
                f"{source} holds {len(json_files)} JSON files: "
                f"{', '.join(map(shorten_value, json_files))}",
                "say which has the annotations: --labels FILE.json, or none",
            )
        name, read = next(iter(json_files.items()))
        content = read()
    readers = read_coco(name, content, names, context.inputs, pictures.left_out)
    return tuple(readers), hashlib.sha256(content).hexdigest()


def _digest_boxes(readers: Sequence[ReadBoxes]) -> str:
    """Return the SHA-256 of the boxes of all pictures, in shares of each."""
    text = "\n".join(str(read((1, 1))) for read in readers)
    return hashlib.sha256(text.encode()).hexdigest()


def _check_package() -> None:
    from importlib.util import find_spec

    if find_spec("pycocotools") is None:
        raise MissingTool(
            "pycocotools is not installed, which computes the mAP",
            "pip install 'mobile-deployment-kit[detection]', or evaluate with --labels none",
        )
