"""Pictures and float model, prepared once, the same for everyone."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from kit.errors import PictureError
from kit.progress import ReportStatus

if TYPE_CHECKING:
    from kit.bundles.bundle import Bundle
    from kit.images import Picture

Array = NDArray[np.float32]
Item = TypeVar("Item")
Division: TypeAlias = "tuple[str, list[Picture], list[Picture]]"

CHUNK = 16  # pictures in memory at a time, as many as `kit eval` gives the float model at once


@dataclass(frozen=True)
class Setup:
    """Options of a comparison.

    Attributes:
        model: of the kit.
        weights: as a recipe names them.
        images: folder or zip of pictures.
        calibration_images: how many of them set the ranges.
        seed: of that choice.
        limit: evaluate so many of the others, evenly spread; None takes all.
        work: folder for everything that is made.
        report_status: callback; takes the current step.
        recipe: TOML file with further options of `kit build`; None: the defaults.
    """

    model: str
    weights: str
    images: Path
    calibration_images: int
    seed: int
    limit: int | None
    work: Path
    report_status: ReportStatus
    recipe: Path | None = None


@dataclass(frozen=True)
class Inputs:
    """Inputs of every row.

    Attributes:
        source: name of the folder or zip.
        calibration: SHA-256 of each picture that sets ranges.
        sha256: of the contents and labels of the pictures that are evaluated.
        labels: [N], or None where the pictures have none.
        reference: the float model's logits [N, classes].
    """

    source: str
    calibration: tuple[str, ...]
    sha256: str
    labels: NDArray[np.int64] | None
    reference: Array


def prepare(setup: Setup, pictures: Division, bundle: Bundle) -> Inputs:
    """Write the peers' inputs, see `scripts/peers/work.py`, and run the float model.

    Args:
        setup: options of the comparison.
        pictures: which of them calibrate, and which are evaluated.
        bundle: of the float model, with an ONNX file.

    Raises:
        PictureError: a picture is broken.
    """
    from kit.artifact_key import REFERENCE
    from kit.images import hash_picture, hash_pictures

    source, chosen, rest = pictures
    work = setup.work
    shutil.copyfile(bundle.file("onnx-fp32"), work / "model.onnx")
    _export(bundle, work / "reference.pt2")
    setup.report_status(
        f"preparing {len(chosen)} pictures that calibrate and {len(rest)} to evaluate"
    )
    _save(work / "calibration.npy", chosen, bundle)
    evaluation = _save(work / "evaluation.npy", rest, bundle)
    setup.report_status("running the float model")
    known_labels = [picture.label for picture in rest if picture.label is not None]
    return Inputs(
        source=source,
        calibration=tuple(hash_picture(picture) for picture in chosen),
        sha256=hash_pictures(rest),
        labels=np.array(known_labels) if len(known_labels) == len(rest) else None,
        reference=_float_answers(bundle.file(REFERENCE), evaluation),
    )


def _export(bundle: Bundle, path: Path) -> None:
    """Write the float model as a `torch.export` program, which peers read without kit."""
    import torch

    from kit.pipeline import load_float_model

    recipe = bundle.manifest.recipe
    example = torch.rand(
        2, *bundle.manifest.signature.inputs[0].sample_shape
    )  # one would be specialized
    batch = torch.export.Dim("batch", min=1)
    model = load_float_model(recipe).model
    torch.export.save(torch.export.export(model, (example,), dynamic_shapes=({0: batch},)), path)


def divide(setup: Setup) -> Division:
    """Return the set's name, the pictures that calibrate, and those that are evaluated.

    A copy of a calibration picture under another name is not evaluated either.

    Raises:
        PictureError: there are no pictures, or none is left to evaluate.
    """
    from kit.images import hash_picture, open_set, sample_pictures

    opened = open_set(setup.images)
    chosen = list(sample_pictures(opened, setup.calibration_images, setup.seed))
    seen = {hash_picture(picture) for picture in chosen}
    rest = [picture for picture in opened if hash_picture(picture) not in seen]
    if not rest:
        raise PictureError(
            f"all pictures of {opened.source} would calibrate", "use fewer --calibration-images"
        )
    return opened.source, chosen, evenly(rest, setup.limit)


def evenly(items: Sequence[Item], limit: int | None) -> list[Item]:
    """Return `limit` items, evenly spread; `kit eval --limit` selects the same ones."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[i * len(items) // limit] for i in range(limit)]


def _save(path: Path, pictures: list[Picture], bundle: Bundle) -> Array:
    """Write pictures [N, 3, crop, crop] without holding them all in memory."""
    from kit.images import make_batch

    pre = bundle.manifest.preprocessing
    shape = (len(pictures), *bundle.manifest.signature.inputs[0].sample_shape)
    array: Array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    for i in range(0, len(pictures), CHUNK):
        array[i : i + CHUNK] = make_batch(pictures[i : i + CHUNK], pre)
    return array


def _float_answers(program: Path, images: Array) -> Array:
    import torch

    from kit import formats

    module = formats.get_reference().read_model(program)
    with torch.inference_mode():
        parts = [
            module(torch.from_numpy(np.array(images[i : i + CHUNK]))).numpy()
            for i in range(0, len(images), CHUNK)
        ]
    answers: Array = np.concatenate(parts)
    return answers
