"""Masks of segmentation: pictures whose pixels are the numbers of classes."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kit.errors import PictureError
from kit.images.resizing import check_size

if TYPE_CHECKING:
    from PIL.Image import Image

_IGNORED = 255  # the index of pixels that have no class, as in Pascal VOC and Cityscapes
_IGNORED_OF_MANY = 65535  # where 255 is a class: the largest index of a PNG
_MODES = ("1", "L", "P", "I", "I;16")
_HINT = "save it as PNG with one channel or a palette, each pixel the index of its class"

Mask = NDArray[np.int64]


def choose_ignored(classes: int) -> int:
    """Return the index of pixels that have no class, in masks for a model of some classes."""
    return _IGNORED if classes <= _IGNORED else _IGNORED_OF_MANY


def decode_mask(data: bytes, name: str) -> Image:
    """Return a mask as a picture of 32-bit class indices (mode ``I``), upright.

    Args:
        data: of a PNG file with a palette, or with one channel of 1, 8 or 16 bits.
        name: for the message of an error.

    Raises:
        PictureError: it is no such file, is truncated, or has too many pixels.
    """
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd metadata
            image = Image.open(io.BytesIO(data), formats=("PNG",))
            check_size(*image.size, name)
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
    except PictureError:
        raise
    except Exception as exc:  # decoders raise what they like on broken data
        raise PictureError(f"{name} is no mask in PNG: {exc}", _HINT) from exc
    if image.mode not in _MODES:
        raise PictureError(f"the mask {name} has colours ({image.mode})", _HINT)
    return Image.fromarray(np.asarray(image).astype(np.int32))
