"""Crops of three sample photos of kit's dependencies, which every machine has.

A temple and a flower from scikit-learn, a portrait from matplotlib. They replace the user's
pictures in calibration if there are none, and are the golden inputs. Three scenes are few: real
pictures calibrate better, and `kit build` warns about that.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kit.errors import MissingTool
from kit.images.preprocess import to_array
from kit.manifest.preprocessing import Preprocessing
from kit.signature import FloatArray

if TYPE_CHECKING:
    from PIL.Image import Image

SOURCE = "crops of three sample photos"
FILES = (
    ("sklearn", "datasets/images/china.jpg"),
    ("sklearn", "datasets/images/flower.jpg"),
    ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
)
MIN_SIDE = 0.35  # of a crop, as a share of the photo's shorter side
# A recipe's seed is below 2**32, so no calibration draws the same crops.
_GOLDEN_SEED = 2**32 + 1


def make_crops(n: int, pre: Preprocessing, seed: int) -> FloatArray:
    """Return inputs [n, *pre.shape] of random square crops, half of them mirrored.

    The photos take turns; the side of a crop is 35 to 100 % of the photo's shorter
    side. Equal arguments give equal crops.
    """
    from PIL import ImageOps

    photos = read_photos()
    draws = np.random.default_rng(seed).random((n, 4))
    array = np.empty((n, *pre.shape), np.float32)
    for i, (scale, x, y, flip) in enumerate(draws):
        photo = photos[i % len(photos)]
        side = round(min(photo.size) * (MIN_SIDE + (1 - MIN_SIDE) * scale))
        left, top = round((photo.width - side) * x), round((photo.height - side) * y)
        crop = photo.crop((left, top, left + side, top + side))
        array[i] = to_array(ImageOps.mirror(crop) if flip < 0.5 else crop, pre)
    return array


def read_photos() -> list[Image]:
    """Return the photos, read as files: importing the packages takes 2 s.

    Raises:
        MissingTool: a package does not have its photo any more.
    """
    from PIL import Image

    photos = []
    for package, name in FILES:
        path = _folder(package) / name
        try:
            with Image.open(path) as file:
                photos.append(file.convert("RGB"))
        except OSError as exc:
            raise MissingTool(
                f"the sample photo {name} of {package} cannot be read: {exc}",
                f"install {package} in the version that kit names",
            ) from exc
    return photos


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else Path(package)


def make_golden(n: int, pre: Preprocessing) -> FloatArray:
    """Return the inputs [n, *pre.shape] that bundles are verified with; they never change."""
    return make_crops(n, pre, _GOLDEN_SEED)
