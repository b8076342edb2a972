"""Boxes that pictures have: COCO's JSON, or a folder of YOLO's text files.

    annotations.json        {"images": […], "annotations": […], "categories": […]}
    labels/street/001.txt   of pictures/street/001.jpg, or images/street/001.jpg: a line for each
                            box, `class centre_x centre_y width height`, in shares of the picture

COCO: https://cocodataset.org/#format-data. The format of YOLO:
https://docs.ultralytics.com/datasets/detect/
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kit.calibration import ModelInputs
from kit.documents import MAX_JSON_BYTES, Count, describe_fault, describe_read_failure, parse_json
from kit.error_text import shorten_value
from kit.errors import PictureError
from kit.images.archive import Read
from kit.images.missing import make_missing_error
from kit.images.sets import list_files
from kit.tasks._matching import check_unshared, match_names

JSON, TEXT = ".json", ".txt"
_MAX_BOXES = 10_000  # of a picture
_COLUMNS = 5
_ROUNDING = 1  # pixels
_HINT = "it has images, annotations and categories: https://cocodataset.org/#format-data"
_TEXT_HINT = "each line is: class centre_x centre_y width height, in shares of the picture"

Finite = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True)
class TrueBox:
    """A box that an annotation gives.

    Attributes:
        corners: x1, y1, x2, y2 in pixels of the picture.
        label: class of the model.
        crowd: it stands for many objects, and counts as neither a hit nor a miss.
        area: of the object in square pixels, as COCO counts it.
    """

    corners: tuple[float, float, float, float]
    label: int
    crowd: bool = False
    area: float = 0.0


# Returns the boxes of a picture by its width and height.
ReadBoxes = Callable[[tuple[int, int]], tuple[TrueBox, ...]]


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Category(_Lenient):
    id: Count
    name: str = Field(max_length=1000)


class _Image(_Lenient):
    id: int | str
    file_name: str = Field(max_length=10_000)
    width: Count | None = None
    height: Count | None = None


class _Annotation(_Lenient):
    image_id: int | str
    category_id: Count
    bbox: tuple[Finite, Finite, Finite, Finite]
    iscrowd: int = 0
    area: Finite | None = None


class _Coco(_Lenient):
    images: tuple[_Image, ...]
    annotations: tuple[_Annotation, ...]
    categories: tuple[_Category, ...]


def find_annotations(source: Path) -> dict[str, Read]:
    """Return the JSON files beside the pictures of a folder or zip."""
    return {name: read for name, read in list_files(source).items() if name.endswith(JSON)}


def read_coco(
    name: str, content: bytes, pictures: Sequence[str], inputs: ModelInputs, left_out: int = 0
) -> list[ReadBoxes]:
    """Return for each picture a function that returns its boxes.

    Args:
        name: of the file, for messages.
        content: of it.
        pictures: names, with folders.
        inputs: of the model, whose classes the boxes get.
        left_out: number of other pictures, which calibrated.

    Raises:
        PictureError: the file is of another kind, a category is no class of the model, or a
            picture is not listed.
    """
    try:
        coco = _Coco.model_validate(parse_json(content))
    except ValueError as exc:
        what = describe_fault(exc) if isinstance(exc, ValidationError) else str(exc)
        raise PictureError(f"{name} is not COCO's annotations: {what}", _HINT) from exc
    used = {annotation.category_id for annotation in coco.annotations}
    classes = _match_categories(name, coco.categories, used, inputs)
    names = match_names(pictures, [image.file_name for image in coco.images], by_file_name=True)
    images = {image.file_name: image for image in coco.images}
    missing = [p for p, matches in zip(pictures, names, strict=True) if matches is None]
    if missing:
        raise make_missing_error(
            missing,
            len(pictures),
            f"no entry in {name}",
            "file_name of an image is the path of its picture; one without boxes is listed, too",
            left_out=left_out,
        )
    by_image: dict[int | str, list[_Annotation]] = {}
    for annotation in coco.annotations:
        by_image.setdefault(annotation.image_id, []).append(annotation)
    chosen = [images[matches] for matches in names if matches is not None]
    return [partial(_place, name, one, by_image.get(one.id, []), classes) for one in chosen]


def _place(
    name: str,
    image: _Image,
    annotations: Sequence[_Annotation],
    classes: Mapping[int, int],
    size: tuple[int, int],
) -> tuple[TrueBox, ...]:
    """Return the boxes of a picture; one that is stored in another size has them scaled."""
    given = (image.width or size[0], image.height or size[1])
    scales = (size[0] / given[0], size[1] / given[1])
    if abs(scales[0] - scales[1]) * max(given) > _ROUNDING * max(scales):
        raise PictureError(
            f"{name} says that {image.file_name} has {given[0]}x{given[1]} pixels, and it has "
            f"{size[0]}x{size[1]}, which is another shape",
            "boxes are of upright pictures, as EXIF turns them",
        )
    boxes = []
    for annotation in annotations:
        x, y, width, height = annotation.bbox
        corners = (x * scales[0], y * scales[1], (x + width) * scales[0], (y + height) * scales[1])
        area = width * height if annotation.area is None else annotation.area
        boxes.append(
            TrueBox(
                corners,
                classes[annotation.category_id],
                bool(annotation.iscrowd),
                area * scales[0] * scales[1],
            )
        )
    return tuple(boxes)


def _match_categories(
    name: str, categories: Sequence[_Category], used: set[int], inputs: ModelInputs
) -> dict[int, int]:
    """Return the class of each category: by name, or by order if the model has no names."""
    known = {category.id for category in categories}
    if unknown := used - known:
        raise PictureError(f"{name} has boxes of the category {min(unknown)} without a name", _HINT)
    if inputs.labels is None:
        return _match_order(name, sorted(known), inputs)
    plain = {label.strip().casefold(): index for index, label in enumerate(inputs.labels)}
    matched: dict[int, int] = {}
    for category in categories:
        index = plain.get(category.name.strip().casefold())
        if index is not None:
            matched[category.id] = index
        elif category.id in used:
            raise PictureError(
                f"{name} has boxes of {shorten_value(category.name)}, "
                "which is no class of the model",
                "the names of its classes are in labels.txt of the bundle; --labels of kit build "
                "gives others",
            )
    return matched


def _match_order(name: str, ids: Sequence[int], inputs: ModelInputs) -> dict[int, int]:
    assert inputs.detection is not None  # of a detector
    background = inputs.detection.record.background
    objects = [index for index in range(inputs.classes) if index != background]
    if len(ids) != len(objects):
        raise PictureError(
            f"{name} has {len(ids)} categories, and the model {len(objects)} classes, without "
            "names to tell which is which",
            "build the bundle with --labels FILE, one name of a class in each line",
        )
    return dict(zip(ids, objects, strict=True))


def read_texts(folder: Path, pictures: Sequence[str], inputs: ModelInputs) -> list[ReadBoxes]:
    """Return for each picture a function that returns the boxes of its text file.

    A picture without a file has no boxes, if others have.

    Args:
        folder: folder or zip of text files with the names of the pictures.
        pictures: names, with folders.
        inputs: of the model.

    Raises:
        PictureError: no picture has a file, or two have one.
    """
    listed = list_files(folder, "text files with boxes")
    files = {name: read for name, read in listed.items() if name.endswith(TEXT)}
    stems = {str(PurePosixPath(name).with_suffix("")): name for name in files}
    plain = [str(PurePosixPath(name).with_suffix("")) for name in pictures]
    matches = match_names(plain, list(stems), by_file_name=True)
    if not any(matches):
        raise PictureError(
            f"no picture has boxes in {folder}, which holds {len(files)} {TEXT} files",
            f"{plain[0]}{TEXT} has those of {pictures[0]}; --labels FILE.json takes COCO's",
        )
    names = [None if stem is None else stems[stem] for stem in matches]
    check_unshared(pictures, names)
    return [
        _no_boxes if name is None else partial(_read_text, name, files[name], inputs)
        for name in names
    ]


def _no_boxes(size: tuple[int, int]) -> tuple[TrueBox, ...]:
    return ()


def _read_text(
    name: str, read: Read, inputs: ModelInputs, size: tuple[int, int]
) -> tuple[TrueBox, ...]:
    try:
        lines = read().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as exc:
        raise PictureError(f"{name} is not text: {describe_read_failure(exc)}", _TEXT_HINT) from exc
    if len(lines) > _MAX_BOXES:
        raise PictureError(f"{name} has {len(lines)} lines", f"{_MAX_BOXES} are read at most")
    return tuple(
        _parse_line(f"line {number} of {name}", line.split(), inputs, size)
        for number, line in enumerate(lines, 1)
        if line.strip()
    )


def _parse_line(
    where: str, cells: Sequence[str], inputs: ModelInputs, size: tuple[int, int]
) -> TrueBox:
    assert inputs.detection is not None  # of a detector
    background = inputs.detection.record.background
    objects = [index for index in range(inputs.classes) if index != background]
    try:
        index, (x, y, width, height) = int(cells[0]), map(float, cells[1:])
    except (ValueError, IndexError) as exc:
        what = "a polygon" if len(cells) > _COLUMNS else shorten_value(" ".join(cells))
        raise PictureError(f"{where} is {what}, and no box", _TEXT_HINT) from exc
    if not 0 <= index < len(objects):
        raise PictureError(
            f"{where} has the class {index}, and the model the classes 0 to {len(objects) - 1}",
            "the background, if a model has it, is not counted",
        )
    if not all(map(math.isfinite, (x, y, width, height))) or min(width, height) < 0:
        raise PictureError(f"{where} is no box", _TEXT_HINT)
    if max(x, y, width, height) > 2 or min(x, y) < 0:
        raise PictureError(f"{where} is not in shares of the picture", _TEXT_HINT)
    left, top = (x - width / 2) * size[0], (y - height / 2) * size[1]
    wide, high = width * size[0], height * size[1]
    return TrueBox((left, top, left + wide, top + high), objects[index], area=wide * high)


def read_labels_file(path: Path) -> bytes:
    """Return the content of a file of annotations.

    Raises:
        PictureError: it cannot be read.
    """
    from kit.files import untrusted

    try:
        return untrusted.read_file(path, MAX_JSON_BYTES)
    except (OSError, ValueError) as exc:
        raise PictureError(
            f"cannot read {path}: {describe_read_failure(exc)}", "check --labels"
        ) from exc
