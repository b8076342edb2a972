"""Colour profiles: phones save photos in wider colours than sRGB, and say so in the file.

Android's decoder converts such a picture to sRGB before an app sees its pixels. Models are
trained and calibrated with sRGB pictures; so kit converts, too, or the phone would see other
pixels than the workstation.
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

# Modes of pictures that a profile of a colour space can describe, and what they become first. A
# grey picture may carry the profile of an RGB one.
_MODES = {
    "RGB": {"RGB": "RGB", "L": "RGB", "YCbCr": "RGB"},
    "GRAY": {"L": "L"},
    "CMYK": {"CMYK": "CMYK"},
}
_OPAQUE = {"P": "RGB", "1": "L", "PA": "RGB", "LA": "L", "RGBA": "RGB"}
_STEPS = 9  # of each channel, where a profile is compared with sRGB
_EQUAL = 1  # level of 255: what rounding makes of equal profiles


def to_srgb(image: Image) -> Image:
    """Return a picture in sRGB, by the profile that it carries; transparency is kept.

    A picture without a profile is in sRGB. So is one whose profile is broken, or describes
    another kind of picture: decoders of phones ignore such a profile, too.
    """
    profile: bytes | None = image.info.get("icc_profile")
    opaque = _OPAQUE.get(image.mode, image.mode)
    found = _transform(profile, opaque) if profile else None
    if found is None:
        return image
    mode, apply = found
    converted = apply(image.convert(opaque).convert(mode))
    if image.has_transparency_data:
        converted.putalpha(image.convert("RGBA").getchannel("A"))
    return converted


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> tuple[str, Callable[[Image], Image]] | None:
    """Return what converts pictures of a mode to sRGB, and the mode that it takes.

    None where nothing is to be converted: the profile is sRGB, or cannot be used.
    """
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        taken = _MODES.get(source.profile.xcolor_space.strip(), {}).get(mode)
        if taken is None:
            return None
        target = ImageCms.createProfile("sRGB")
        # Optimized, Little CMS is off by up to 9 levels in the dark of grey pictures.
        flags = ImageCms.Flags.NOOPTIMIZE if taken == "L" else ImageCms.Flags.NONE
        transform = ImageCms.buildTransform(source, target, taken, "RGB", flags=flags)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):  # whatever is wrong with it
        return None
    if taken == "RGB" and _is_srgb(transform):
        return None
    return taken, lambda image: _apply(transform, image)


def _apply(transform: ImageCmsTransform, image: Image) -> Image:
    from PIL import ImageCms

    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # as it is not in place
    return converted


def _is_srgb(transform: ImageCmsTransform) -> bool:
    """Return whether a transform changes no colour, but for rounding.

    Most pictures with a profile are in sRGB; they keep their pixels as they are.
    """
    from PIL import Image

    levels = np.linspace(0, 255, _STEPS).round().astype(np.uint8)
    colors = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3)
    converted = np.asarray(_apply(transform, Image.fromarray(colors)))
    return int(np.abs(converted.astype(int) - colors).max()) <= _EQUAL
