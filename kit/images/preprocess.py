"""Decode pictures and turn them into input tensors, as `bundle.json` describes.

`tests/test_images.py` compares this with torchvision's transforms; the Android app does the same.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kit.errors import PictureError
from kit.images import color
from kit.images.optional_formats import list_optional_formats
from kit.images.sets import Picture
from kit.manifest import Preprocessing
from kit.progress import CountProgress
from kit.signature import FloatArray

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 50_000_000  # take 200 MB decoded; some formats need three times that while decoding
# Larger JPEGs from phones are decoded at 1/2 to 1/8 of their size, which needs no more memory.
# Beyond this limit Pillow, with its default settings, raises DecompressionBombError.
MAX_JPEG_PIXELS = 178_956_970
_PADDING = 114  # level of the grey that YOLO's letterbox has
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


def check_size(width: int, height: int, name: str) -> None:
    """Raise `PictureError` if a picture of this size has too many pixels."""
    if width * height > MAX_PIXELS:
        raise PictureError(
            f"{name} has {width}x{height} pixels, more than {MAX_PIXELS // 10**6} million",
            "make it smaller, or save it as a JPEG that is not progressive",
        )


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
    if pre.fit == "crop":
        image = resize_and_crop(image, pre, resized_size(image.size, pre, name))
    else:
        image = _fit(image, pre, name)
    array = np.asarray(image).reshape(pre.crop, pre.crop, -1)
    if pre.color == "BGR":
        array = array[..., ::-1]
    scaled = array.astype(np.float32) / np.float32(255)
    normal = (scaled - np.array(pre.mean, np.float32)) / np.array(pre.std, np.float32)
    return np.ascontiguousarray(normal if pre.layout == "NHWC" else normal.transpose(2, 0, 1))


@dataclass(frozen=True)
class Placement:
    """Where a picture is in a square input: pixels of the input are ``scale * pixels + offset``.

    Attributes:
        scale: of x and y.
        offset: of x and y.
        size: width and height of the picture.
    """

    scale: tuple[float, float]
    offset: tuple[float, float]
    size: tuple[int, int]


def find_placement(size: tuple[int, int], pre: Preprocessing, name: str) -> Placement:
    """Return where a picture of a size is in the input that `to_array` makes of it.

    Raises:
        PictureError: see `to_array`.
    """
    side = pre.crop
    if pre.fit == "stretch":
        resized = (side, side)
    elif pre.fit == "letterbox":
        resized = _shrunk(size, side)
    else:
        resized = resized_size(size, pre, name)
    # As `resize_and_crop` rounds: what is cropped has a negative offset, what is padded another.
    offset = (-float(round((resized[0] - side) / 2)), -float(round((resized[1] - side) / 2)))
    return Placement((resized[0] / size[0], resized[1] / size[1]), offset, size)


def _fit(image: Image, pre: Preprocessing, name: str) -> Image:
    """Return all of a picture in a square, stretched or with grey at two sides."""
    from PIL import Image as Pillow

    place = find_placement(image.size, pre, name)
    size = _shrunk(image.size, pre.crop) if pre.fit == "letterbox" else (pre.crop, pre.crop)
    resized = image.resize(size, Pillow.Resampling.BILINEAR)
    if size == (pre.crop, pre.crop):
        return resized
    grey = _PADDING if image.mode == "L" else (_PADDING,) * 3
    square = Pillow.new(image.mode, (pre.crop, pre.crop), grey)
    square.paste(resized, (int(place.offset[0]), int(place.offset[1])))
    return square


def _shrunk(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Return a size with the longer side `side`."""
    longer = max(size)
    width, height = (max(1, round(side * length / longer)) for length in size)
    return width, height


def to_pixels(array: FloatArray, pre: Preprocessing) -> NDArray[np.uint8]:
    """Return the RGB pixels [crop, crop, 3] of an input, the reverse of `to_array`."""
    last = array if pre.layout == "NHWC" else array.transpose(1, 2, 0)
    scaled = last * np.array(pre.std, np.float32) + np.array(pre.mean, np.float32)
    pixels = (255 * scaled).round().clip(0, 255).astype(np.uint8)
    ordered = pixels[..., ::-1] if pre.color == "BGR" else pixels
    return np.ascontiguousarray(np.broadcast_to(ordered, (pre.crop, pre.crop, 3)))


def resized_size(size: tuple[int, int], pre: Preprocessing, name: str) -> tuple[int, int]:
    """Return width and height of a picture when its shorter side is `pre.resize`.

    Raises:
        PictureError: it is so narrow that it would have too many pixels.
    """
    resized = _resized(*size, pre.resize)
    check_size(*resized, name)
    return resized


def resize_and_crop(
    image: Image, pre: Preprocessing, size: tuple[int, int], nearest: bool = False
) -> Image:
    """Return the centre crop of a resized picture.

    Args:
        image: of any mode.
        pre: whose `crop` it gets.
        size: to resize to, from `resized_size`.
        nearest: take each pixel from the nearest one, as class indices need; else bilinear.
    """
    from PIL.Image import Resampling

    # Pillow's bilinear resize always antialiases.
    image = image.resize(size, Resampling.NEAREST if nearest else Resampling.BILINEAR)
    left, top = round((size[0] - pre.crop) / 2), round((size[1] - pre.crop) / 2)
    return image.crop((left, top, left + pre.crop, top + pre.crop))


def _resized(width: int, height: int, shorter: int) -> tuple[int, int]:
    """Return the size with the shorter side `shorter`; the longer is rounded as in torchvision."""
    longer = int(shorter * max(width, height) / min(width, height))
    return (shorter, longer) if width <= height else (longer, shorter)


def batch(
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
