"""Colour profiles: conversions against the standards' formulas, and invalid profiles.

`PicturesTest` of the Android app compares the same with Android's decoder.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_samples import encode, noise
from PIL import Image, ImageCms

from kit.images import decode

_FILE = Path(__file__).parents[1] / "android_app/profiles.py"  # the app's samples need it, too
_SPEC = importlib.util.spec_from_file_location("profiles", _FILE)
assert _SPEC
assert _SPEC.loader
profiles = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(profiles)

# XYZ of sRGB's primaries, adapted to D50: IEC 61966-2-1.
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
P3 = profiles.rgb(profiles.P3, profiles.srgb_curve())


def linear(values: np.ndarray) -> np.ndarray:
    """Undo sRGB's curve."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def curved(values: np.ndarray) -> np.ndarray:
    """Apply sRGB's curve."""
    return np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)


def expected(pixels: np.ndarray, primaries, light) -> np.ndarray:
    """Convert levels [height, width, 3] of some primaries to sRGB, by the standards' formulas."""
    xyz = light(pixels / 255) @ np.array(primaries)
    return curved((xyz @ np.linalg.inv(np.array(SRGB))).clip(0, 1)) * 255


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(decode(data, "x")).astype(float)


@pytest.mark.parametrize(
    ("primaries", "curve", "light"),
    [
        (profiles.P3, profiles.srgb_curve(), linear),
        (profiles.P3, profiles.gamma(2.2), lambda v: v ** (563 / 256)),
        (profiles.ADOBE, profiles.gamma(563 / 256), lambda v: v ** (563 / 256)),
        (profiles.P3, profiles.table(1.8, 4096), lambda v: v**1.8),
    ],
    ids=["display-p3", "p3-by-power", "adobe-rgb", "p3-by-table"],
)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_wide_gamut_pictures_are_converted_to_srgb(primaries, curve, light, kind):
    image = noise(60, 40)
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(image, kind, icc_profile=profiles.rgb(primaries, curve), **options)
    converted = expected(np.asarray(image), primaries, light)
    assert np.abs(converted - np.asarray(image)).max() > 20  # otherwise the test would be too weak
    assert np.abs(pixels(data) - converted).max() <= 1.5  # 0.5 of it is rounding


def test_a_phone_photo_is_converted_and_rotated():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.new("RGB", (40, 20), (200, 60, 60))
    data = encode(image, "JPEG", icc_profile=P3, exif=exif, quality=100)
    result = decode(data, "x")
    assert result.size == (20, 40)
    converted = expected(np.full((1, 1, 3), (200, 60, 60)), profiles.P3, linear)
    assert np.abs(np.asarray(result).astype(float) - converted).max() <= 2


def test_grey_pictures_use_grey_and_rgb_profiles():
    image = noise(30, 20, "L")
    level = np.asarray(image).astype(float)[..., None]
    by_power = pixels(encode(image, icc_profile=profiles.grey(profiles.gamma(1.0))))
    assert np.abs(by_power - curved(level / 255) * 255).max() <= 1.5
    # The curve of Display P3 is sRGB's, and grey has no primaries.
    assert np.abs(pixels(encode(image, icc_profile=P3)) - level).max() <= 1


@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_transparency_is_kept(mode):
    image = Image.new("RGBA", (8, 8), (200, 60, 60, 255))
    image.paste((0, 0, 0, 0), (0, 0, 8, 4))
    options = {"icc_profile": P3}
    if mode == "P":
        image = image.convert("RGB").quantize(2)
        options["transparency"] = image.getpixel((0, 0))
    result = pixels(encode(image, **options))
    assert result[0, 0].tolist() == [255, 255, 255]
    converted = expected(np.full((1, 1, 3), (200, 60, 60)), profiles.P3, linear)
    assert np.abs(result[7, 7] - converted).max() <= 2


def srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize(
    ("mode", "profile"),
    [
        ("RGB", srgb()),
        ("RGB", profiles.rgb(SRGB, profiles.srgb_curve())),
        ("RGB", b"no profile"),
        ("RGB", P3[:150]),
        ("RGB", P3.replace(b"RGB ", b"CMYK")),
        ("RGB", P3.replace(b"RGB ", b"\xff\xff\xff\xff")),
        ("RGB", profiles.grey(profiles.gamma(1.8))),
        ("CMYK", P3),
        ("CMYK", b"no profile"),
        ("L", b"no profile"),
        ("1", srgb()),
    ],
)
def test_unusable_profiles_change_nothing(mode, profile):
    """sRGB, damaged profiles, and profiles of another colour space."""
    image = noise(20, 10, mode)
    plain = encode(image, "TIFF")
    assert np.array_equal(pixels(encode(image, "TIFF", icc_profile=profile)), pixels(plain))


def test_sixteen_bits_with_a_profile_are_read():
    grey = Image.fromarray(np.full((4, 4), 0x7FFF, np.uint16))
    result = pixels(encode(grey, icc_profile=profiles.grey(profiles.gamma(1.0))))
    assert result[0, 0].tolist() == [127] * 3


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(P3) - 1), st.integers(0, 255)), max_size=8))
def test_damaged_profiles_never_raise(changes):
    broken = bytearray(P3)
    for place, value in changes:
        broken[place] = value
    assert pixels(encode(noise(8, 8), icc_profile=bytes(broken))).shape == (8, 8, 3)
