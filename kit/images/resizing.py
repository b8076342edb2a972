"""Resize a picture and crop its centre, pixel by pixel as torchvision, timm and Keras do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kit.errors import PictureError
from kit.manifest.preprocessing import Interpolation, Preprocessing

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 50_000_000  # take 200 MB decoded; some formats need three times that while decoding
_PADDING = 114  # level of the grey that YOLO's letterbox has
# Pillow's bilinear and bicubic resize always antialias.
_FILTERS: dict[Interpolation, str] = {
    "bilinear-antialias": "BILINEAR",
    "bicubic-antialias": "BICUBIC",
    "nearest": "NEAREST",
}


def check_size(width: int, height: int, name: str) -> None:
    """Raise `PictureError` if a picture of this size has too many pixels."""
    if width * height > MAX_PIXELS:
        raise PictureError(
            f"{name} has {width}x{height} pixels, more than {MAX_PIXELS // 10**6} million",
            "make it smaller, or save it as a JPEG that is not progressive",
        )


def compute_resized_size(size: tuple[int, int], pre: Preprocessing, name: str) -> tuple[int, int]:
    """Return width and height of a picture after the resize; see `Preprocessing.fit`.

    Args:
        size: width and height.
        pre: the preprocessing.
        name: for the message of an error.

    Raises:
        PictureError: it is so narrow that it would have too many pixels.
    """
    resized = _resized(*size, pre)
    check_size(*resized, name)
    return resized


def _resized(width: int, height: int, pre: Preprocessing) -> tuple[int, int]:
    if pre.resize is not None:
        longer = int(pre.resize * max(width, height) / min(width, height))
        return (pre.resize, longer) if width <= height else (longer, pre.resize)
    assert pre.resize_to is not None  # as the schema checks
    if pre.fit == "stretch":
        return pre.resize_to[1], pre.resize_to[0]
    if pre.fit == "letterbox":
        return _shrunk(width, height, pre.resize_to)
    ratio = min(height / pre.resize_to[0], width / pre.resize_to[1])
    return round(width / ratio), round(height / ratio)


def _shrunk(width: int, height: int, box: tuple[int, int]) -> tuple[int, int]:
    """Return the largest size of the picture's shape in a box of that height and width."""
    if height * box[1] >= width * box[0]:
        return max(1, round(width * box[0] / height)), box[0]
    return box[1], max(1, round(height * box[1] / width))


def resize_and_crop(
    image: Image, pre: Preprocessing, size: tuple[int, int], nearest: bool = False
) -> Image:
    """Return the centre crop of a resized picture, or the picture in the middle of grey.

    Args:
        image: of any mode.
        pre: whose `sides` it gets.
        size: width and height to resize to, from `compute_resized_size`.
        nearest: take each pixel from the nearest one, as class indices need.
    """
    from PIL.Image import Resampling

    image = image.resize(size, Resampling["NEAREST" if nearest else _FILTERS[pre.interpolation]])
    height, width = pre.sides
    left, top = _find_corner(size, pre)
    if pre.fit == "letterbox":
        return _pad(image, (width, height), (-left, -top))
    return image.crop((left, top, left + width, top + height))


def _pad(image: Image, size: tuple[int, int], corner: tuple[int, int]) -> Image:
    from PIL import Image as Pillow

    padded = Pillow.new(image.mode, size, _PADDING if image.mode == "L" else (_PADDING,) * 3)
    padded.paste(image, corner)
    return padded


def _find_corner(size: tuple[int, int], pre: Preprocessing) -> tuple[int, int]:
    """Return where the crop begins in a resized picture; negative for one that is padded."""
    height, width = pre.sides
    return round((size[0] - width) / 2), round((size[1] - height) / 2)


@dataclass(frozen=True)
class Placement:
    """Where a picture is in an input: pixels of the input are ``scale * pixels + offset``.

    Attributes:
        scale: of x and y.
        offset: of x and y.
        size: width and height of the picture.
    """

    scale: tuple[float, float]
    offset: tuple[float, float]
    size: tuple[int, int]


def find_placement(size: tuple[int, int], pre: Preprocessing, name: str) -> Placement:
    """Return where a picture of that width and height is in its input.

    Raises:
        PictureError: see `compute_resized_size`.
    """
    resized = compute_resized_size(size, pre, name)
    left, top = _find_corner(resized, pre)
    return Placement(
        (resized[0] / size[0], resized[1] / size[1]), (float(-left), float(-top)), size
    )
