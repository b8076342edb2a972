"""A small bundle and pictures for it, made without `kit build`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image

from kit import formats, recipe_input
from kit.accuracy import CHUNK
from kit.artifact_key import ArtifactKey
from kit.bundles import loading, writing
from kit.bundles.bundle import REFERENCE_FILE, Bundle
from kit.formats.interface import Session, predict
from kit.manifest.artifacts import Artifact, Runtime
from kit.manifest.build_records import Calibration, Source
from kit.manifest.preprocessing import Preprocessing
from kit.manifest.schema import Golden
from kit.registry import CLASSIFICATION
from kit.signature import Signature, TensorSpec, stack

CLASSES = 7
PRE = Preprocessing(resize=36, crop=32, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
SHARED = Path(__file__).parents[2] / "shared" / "data"
SMALL_NET = f"{Path(__file__).with_name('small_net.py')}:make"  # the argument of `kit build`


def net(step: float = 0.0, bias: float = 0.0, classes: int = CLASSES):
    """Return a small network; a nonzero `step` rounds its weights to multiples of it."""
    import torch
    from torch import nn

    torch.manual_seed(5)
    layers = [nn.Conv2d(3, 8, 5, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(8, classes)).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.copy_((value / step).round() * step if step else value).add_(bias)
    return model


def make(
    target: Path,
    artifacts: dict[str, object],
    calibration: Sequence[str] = (),
    labels: Sequence[str] | None = None,
    reference: object = None,
    pre: Preprocessing = PRE,
    classes: int = CLASSES,
) -> Bundle:
    """Write a bundle of models or of model files, without `kit build`."""
    import torch

    made = recipe_input.make_recipe(model="mobilenet_v2", quantize="none", formats=tuple(artifacts))
    example = torch.zeros(1, 3, pre.crop, pre.crop)
    with writing.stage_bundle(target) as work:
        formats.get_reference().export(reference or net(), (example,), work / REFERENCE_FILE)
        for name, model in artifacts.items():
            member = formats.get_format(name)
            file = work / ArtifactKey(name, "fp32").name_file(member.suffix)
            if isinstance(model, Path):
                shutil.copyfile(model, file)
            else:
                member.export(model, (example,), file)
        (work / "golden").mkdir()
        np.save(work / "golden" / "input.npy", np.empty((0, *example.shape[1:]), np.float32))
        if labels is not None:
            (work / "labels.txt").write_text("\n".join(labels) + "\n")
        fields = {
            "kit_version": "0",
            "created": datetime.now(UTC),
            "recipe": made,
            "recipe_hash": made.hash,
            "parameters": 1,
            "task": CLASSIFICATION,
            "signature": Signature(
                inputs=(TensorSpec(name="input", shape=(1, 3, pre.crop, pre.crop)),),
                outputs=(TensorSpec(name="logits", shape=(1, classes)),),
            ),
            "preprocessing": pre,
            "labels": None if labels is None else "labels.txt",
            "weights": Source(source="random", sha256="0"),
            "calibration": Calibration(
                source="set",
                images=len(calibration),
                sha256="0",
                pictures=tuple(calibration),
                worst_layer="0",
                outside=0.0,
            ),
            "corrections": (),
            "qconfig": {},
            "golden": Golden(inputs=("golden/input.npy",), images=0, source="none", outputs={}),
            "artifacts": tuple(
                Artifact(
                    format=name,
                    precision="fp32",
                    file=f"model-fp32{formats.get_format(name).suffix}",
                    quantize="none",
                    format_version="1",
                    runtime=Runtime(name="r", version="1"),
                    operators={},
                )
                for name in artifacts
            ),
            "tools": {},
        }
        writing.write_manifest(work, fields)
    return loading.load_bundle(target)


def answer_images(session: Session, images: np.ndarray) -> np.ndarray:
    """Return a session's logits [N, classes] for images [N, 3, H, W]."""
    return predict(session, stack("input", images)).arrays[0]


def make_tiny(folder: Path) -> Bundle:
    """Write a float Lite file, and an ONNX file of the same network with rounded weights."""
    return make(folder, {"lite": net(), "onnx": net(step=0.1)})


def picture(index: int) -> Image.Image:
    rng = np.random.default_rng(index)
    tint = rng.integers(0, 256, 3)
    grain = rng.integers(-40, 40, (30 + index % 5, 40, 3))
    return Image.fromarray((tint + grain).clip(0, 255).astype(np.uint8))


def draw(root: Path, count: int, name: Callable[[int], str]) -> Path:
    for index in range(count):
        file = root / name(index)
        file.parent.mkdir(parents=True, exist_ok=True)
        picture(index).save(file)
    return root


def draw_labelled(folder: Path) -> Path:
    """Draw more pictures than two chunks hold, with labels in their file names."""
    return draw(folder, 2 * CHUNK + 5, lambda i: f"{i % CLASSES:04}_{i:03}.png")
