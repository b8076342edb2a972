"""Decode pictures and turn them into input tensors, as `bundle.json` describes.

`tests/test_images.py` compares this with torchvision's transforms; the Android app does the same.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kit.errors import PictureError
from kit.images import color
from kit.images.optional_formats import list_optional_formats
from kit.images.resizing import MAX_PIXELS, check_size, compute_resized_size, resize_and_crop
from kit.images.sets import Picture
from kit.manifest.preprocessing import Preprocessing
from kit.progress import CountProgress
from kit.signature import FloatArray

if TYPE_CHECKING:
    from PIL.Image import Image

# Larger JPEGs from phones are decoded at 1/2 to 1/8 of their size, which needs no more memory.
# Beyond this limit Pillow, with its default settings, raises DecompressionBombError.
MAX_JPEG_PIXELS = 178_956_970
_DRAFT_SIDE = 2340  # minimum side of such a picture: twice the largest resized input
# Formats of cameras and web pages only. No EPS, which would start Ghostscript.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")


def decode(data: bytes, name: str) -> Image:
    """Return a picture as upright RGB in sRGB; transparency becomes white.

    Formats are the usual ones and those of `kit.images.optional_formats`. An animation
    gives its first frame; 16-bit grey keeps its upper 8 bits.

    Args:
        data: the file.
        name: for the message of an error.

    Raises:
        PictureError: it is not a picture, is truncated, or has too many pixels.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    formats = (*_FORMATS, *list_optional_formats())
    try:
        with warnings.catch_warnings():
            # Pillow warns at half its limit, and about odd metadata and formats it did not try.
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=formats)
            _draft(image)
            check_size(*image.size, name)
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return _rgb(color.to_srgb(image), name)
    except Image.DecompressionBombError as exc:
        raise PictureError(
            f"{name} has more than {MAX_JPEG_PIXELS // 10**6} million pixels", "make it smaller"
        ) from exc
    except UnidentifiedImageError as exc:
        raise PictureError(f"{name} is not a picture", f"{', '.join(formats)} are read") from exc
    except PictureError:
        raise
    except Exception as exc:  # decoders raise what they like on broken data: struct.error, …
        raise PictureError(f"{name} is damaged: {exc}", "replace it or leave it out") from exc


def _draft(image: Image) -> None:
    """Let Pillow decode a large JPEG at a fraction of its size, if that is still large enough.

    Not for progressive ones: libjpeg holds them in memory at full size anyway.
    """
    width, height = image.size
    if width * height <= MAX_PIXELS or image.info.get("progressive"):
        return
    scale = _DRAFT_SIDE / min(width, height)
    image.draft(None, (math.ceil(width * scale), math.ceil(height * scale)))


def _rgb(image: Image, name: str) -> Image:
    from PIL import Image as Pillow

    if image.mode == "I" and image.format == "TIFF":  # where white is depends on who wrote it
        raise PictureError(f"{name} has 32 bits per pixel", "save it with 8 or 16 bits")
    if image.mode == "F":
        raise PictureError(f"{name} has floating-point pixels", "save it with 8 bits per channel")
    if image.mode.startswith("I"):
        grey = np.asarray(image).clip(0, 65535) >> 8
        image = Pillow.fromarray(grey.astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Pillow.new("RGBA", image.size, "white")
        image = Pillow.alpha_composite(white, image)
    return image if image.mode == "RGB" else image.convert("RGB")


def to_array(image: Image, pre: Preprocessing, name: str = "the picture") -> FloatArray:
    """Return the input of the shape `pre.shape` for an RGB picture, float32.

    Raises:
        PictureError: it is so narrow that it would have too many pixels when resized.
    """
    if pre.color == "grey":
        image = image.convert("L")
    image = resize_and_crop(image, pre, compute_resized_size(image.size, pre, name))
    array = np.asarray(image).reshape(*pre.sides, -1)
    if pre.color == "BGR":
        array = array[..., ::-1]
    scaled = array.astype(np.float32) / np.float32(255)
    normal = (scaled - np.array(pre.mean, np.float32)) / np.array(pre.std, np.float32)
    return np.ascontiguousarray(normal if pre.layout == "NHWC" else normal.transpose(2, 0, 1))


def to_pixels(array: FloatArray, pre: Preprocessing) -> NDArray[np.uint8]:
    """Return the RGB pixels [H, W, 3] of an input, the reverse of `to_array`."""
    last = array if pre.layout == "NHWC" else array.transpose(1, 2, 0)
    scaled = last * np.array(pre.std, np.float32) + np.array(pre.mean, np.float32)
    pixels = (255 * scaled).round().clip(0, 255).astype(np.uint8)
    ordered = pixels[..., ::-1] if pre.color == "BGR" else pixels
    return np.ascontiguousarray(np.broadcast_to(ordered, (*pre.sides, 3)))


def make_batch(
    pictures: Iterable[Picture], pre: Preprocessing, progress: CountProgress | None = None
) -> FloatArray:
    """Return the inputs [N, *pre.shape] for pictures, float32.

    Raises:
        PictureError: a picture cannot be read; the message names it.
    """
    chosen = list(pictures)
    array = np.empty((len(chosen), *pre.shape), np.float32)
    for i, picture in enumerate(chosen):
        image = decode(picture.read(), picture.name)
        array[i] = to_array(image, pre, picture.name)
        if progress:
            progress(i + 1, len(chosen))
    return array
