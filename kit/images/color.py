"""Colour profiles: phones save photos in wider colour spaces than sRGB, with a profile.

Android's decoder converts such a picture to sRGB before an app gets its pixels. Models are
trained and calibrated with sRGB pictures. kit converts them too, because otherwise the phone
and the workstation would compute with different pixels.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageCms import ImageCmsTransform

# By colour space of a profile: the picture modes that it can describe, and the mode to convert
# them to first. A grey picture may carry an RGB profile.
_MODES = {
    "RGB": {"RGB": "RGB", "L": "RGB", "YCbCr": "RGB"},
    "GRAY": {"L": "L"},
    "CMYK": {"CMYK": "CMYK"},
}
_OPAQUE = {"P": "RGB", "1": "L", "PA": "RGB", "LA": "L", "RGBA": "RGB"}
_STEPS = 9  # levels per channel at which a profile is compared with sRGB
_TOLERANCE = 1  # level of 255: equal profiles differ by rounding


def to_srgb(image: Image) -> Image:
    """Convert a picture to sRGB by its profile; transparency is kept.

    A picture without a profile counts as sRGB. So does one whose profile is broken or describes
    another kind of picture: decoders on phones ignore such a profile too.
    """
    profile: bytes | None = image.info.get("icc_profile")
    opaque = _OPAQUE.get(image.mode, image.mode)
    conversion = _transform(profile, opaque) if profile else None
    if conversion is None:
        return image
    mode, apply = conversion
    converted = apply(image.convert(opaque).convert(mode))
    if image.has_transparency_data:
        converted.putalpha(image.convert("RGBA").getchannel("A"))
    return converted


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> tuple[str, Callable[[Image], Image]] | None:
    """Return the mode to convert a picture to first, and a function that makes it sRGB.

    Returns None if there is nothing to convert: the profile is sRGB, or cannot be used.
    """
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        source_mode = _MODES.get(source.profile.xcolor_space.strip(), {}).get(mode)
        if source_mode is None:
            return None
        target = ImageCms.createProfile("sRGB")
        # With optimization, Little CMS is wrong by up to 9 levels in dark parts of grey pictures.
        flags = ImageCms.Flags.NOOPTIMIZE if source_mode == "L" else ImageCms.Flags.NONE
        transform = ImageCms.buildTransform(source, target, source_mode, "RGB", flags=flags)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):  # of a broken profile
        return None
    if source_mode == "RGB" and _is_srgb(transform):
        return None
    return source_mode, lambda image: _apply(transform, image)


def _apply(transform: ImageCmsTransform, image: Image) -> Image:
    from PIL import ImageCms

    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # None is for conversion in place
    return converted


def _is_srgb(transform: ImageCmsTransform) -> bool:
    """Return whether a transform changes no colour, except by rounding.

    Most profiles are sRGB: the pixels of such pictures are not changed.
    """
    from PIL import Image

    levels = np.linspace(0, 255, _STEPS).round().astype(np.uint8)
    colors = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3)
    converted = np.asarray(_apply(transform, Image.fromarray(colors)))
    return int(np.abs(converted.astype(int) - colors).max()) <= _TOLERANCE
