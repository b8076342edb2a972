"""Resize a picture and crop its centre, pixel by pixel as torchvision, timm and Keras do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.errors import PictureError
from kit.manifest import Interpolation, Preprocessing

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 50_000_000  # take 200 MB decoded; some formats need three times that while decoding
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


def resized_size(size: tuple[int, int], pre: Preprocessing, name: str) -> tuple[int, int]:
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
    ratio = min(height / pre.resize_to[0], width / pre.resize_to[1])
    return round(width / ratio), round(height / ratio)


def resize_and_crop(
    image: Image, pre: Preprocessing, size: tuple[int, int], nearest: bool = False
) -> Image:
    """Return the centre crop of a resized picture.

    Args:
        image: of any mode.
        pre: whose `sides` it gets.
        size: width and height to resize to, from `resized_size`.
        nearest: take each pixel from the nearest one, as class indices need.
    """
    from PIL.Image import Resampling

    image = image.resize(size, Resampling["NEAREST" if nearest else _FILTERS[pre.interpolation]])
    height, width = pre.sides
    left, top = round((size[0] - width) / 2), round((size[1] - height) / 2)
    return image.crop((left, top, left + width, top + height))
