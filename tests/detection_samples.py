"""Pictures of coloured shapes, with annotations in COCO's and YOLO's formats."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from detection_models import SHAPE, SIDE
from PIL import Image, ImageDraw

NAMES = ("red square", "green circle")
COLOURS = ((220, 20, 20), (20, 220, 20))


def write_set(root: Path, count: int = 10) -> Path:
    """Write `pictures`, `annotations.json` (COCO) and `labels` (YOLO)."""
    for folder in ("pictures/a", "labels/a"):
        (root / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for number in range(count):
        image = Image.new("RGB", (SIDE, SIDE))
        lines = []
        for left, top in ((0, 0), (0, 48), (48, 0), (48, 48)):
            if rng.random() < 0.25:
                continue
            x, y = (int(value) for value in rng.integers(4, 22, 2))
            x, y, kind = x + left, y + top, int(rng.integers(2))
            draw = ImageDraw.Draw(image)
            shape = draw.ellipse if kind else draw.rectangle
            shape((x, y, x + SHAPE - 1, y + SHAPE - 1), fill=COLOURS[kind])
            record = {"id": len(annotations) + 1, "image_id": number, "category_id": 10 * kind + 5}
            annotations.append({**record, "bbox": [x, y, SHAPE, SHAPE], "iscrowd": 0})
            centre = ((x + SHAPE / 2) / SIDE, (y + SHAPE / 2) / SIDE)
            lines.append(f"{kind} {centre[0]} {centre[1]} {SHAPE / SIDE} {SHAPE / SIDE}\n")
        image.save(root / f"pictures/a/{number:02}.png")
        (root / f"labels/a/{number:02}.txt").write_text("".join(lines))
        images.append({"id": number, "file_name": f"a/{number:02}.png", "width": SIDE})
    categories = [{"id": 5, "name": "Red Square"}, {"id": 15, "name": NAMES[1]}]
    text = {"images": images, "annotations": annotations, "categories": categories}
    (root / "pictures/annotations.json").write_text(json.dumps(text))
    return root
