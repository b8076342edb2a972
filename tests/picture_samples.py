"""Small pictures, and folders and zips of them, for the tests."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from kit.images import PictureSet
from kit.manifest.preprocessing import Preprocessing

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SHARED = Path(__file__).parents[2] / "shared" / "data"


def pre(resize: int = 36, crop: int = 32) -> Preprocessing:
    return Preprocessing(resize=resize, crop=crop, mean=MEAN, std=STD)


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    rng = np.random.default_rng(width * 1000 + height)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).convert(mode)


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


JPEG = encode(noise(40, 30), "JPEG")
PNG = encode(noise(40, 30))


def fill(root: Path, *names: str, data: bytes = JPEG) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def pack(path: Path, *names: str, data: bytes = JPEG) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:
            file.writestr(name, data)
    return path


def labels_of(pictures: PictureSet) -> dict[str, int | None]:
    return {p.name: p.label for p in pictures}
