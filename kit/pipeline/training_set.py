"""Open the pictures of quantization-aware training."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import PictureError
from kit.images import PictureSet, hash_picture, open_set, sample_pictures
from kit.images.missing import make_missing_error
from kit.pipeline.build_state import Preparation
from kit.pipeline.training_data import MAX_HELD, TrainingData, split
from kit.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor

    from kit.quantize.examples import Examples


def hash_set(recipe: Recipe) -> str:
    """Return the hash of the set that a recipe trains with; empty if it names none.

    Raises:
        PictureError: the set cannot be used.
    """
    if recipe.train is None:
        return ""
    lines = [f"{hash_picture(p)} {p.name}\n" for p in _choose(recipe, ())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def hash_each(recipe: Recipe) -> tuple[str, ...]:
    """Return the SHA-256 of each picture of the set that a recipe trains with, if it names one."""
    if recipe.train is None:
        return ()
    return tuple(hash_picture(picture) for picture in _choose(recipe, ()))


def open_data(work: Preparation, examples: Examples) -> TrainingData:
    """Return the pictures that a recipe trains with.

    Args:
        work: the build.
        examples: for calibration, used if the recipe names no training set.

    Raises:
        PictureError: the set or one of its labels cannot be used.
    """
    if work.recipe.train is not None:
        return _from_set(work)
    tensor = examples.tensors[0]
    held, seen = split(len(tensor), work.recipe.seed)
    return TrainingData(
        source=work.pictures.source,
        digests=work.pictures.digests,
        held=held,
        seen=seen,
        labelled=False,
        read=lambda index: (tensor[index], None),
        seed=work.recipe.seed,
    )


def _from_set(work: Preparation) -> TrainingData:
    import torch

    from kit.images import make_batch

    chosen = _choose(work.recipe, _categories(work))
    pictures = chosen.pictures
    labelled = _are_labelled(chosen, work)

    def read(index: int) -> tuple[Tensor, int | None]:
        (array,) = make_batch([pictures[index]], work.preprocessing)
        return torch.from_numpy(array), pictures[index].label

    held, seen = split(len(pictures), work.recipe.seed)
    digests = tuple(hash_picture(picture) for picture in pictures)
    return TrainingData(chosen.source, digests, held, seen, labelled, read, work.recipe.seed)


def _choose(recipe: Recipe, categories: Sequence[str] | None) -> PictureSet:
    """Return a sample of the set, no larger than the number of pictures training uses."""
    assert recipe.train is not None
    pictures = open_set(Path(recipe.train), categories=categories)
    return sample_pictures(
        pictures, recipe.train_steps * recipe.train_batch + MAX_HELD, recipe.seed
    )


def _categories(work: Preparation) -> Sequence[str] | None:
    """Return the names of the classes; None for ImageNet, empty where there are none."""
    if work.inputs.labels is None and work.inputs.classes == 1000:
        return None
    return work.inputs.labels or ()


def _are_labelled(chosen: PictureSet, work: Preparation) -> bool:
    """Return whether there are labels to train with.

    Raises:
        PictureError: a label is none of the model's, or only some pictures have one.
    """
    for picture in chosen:
        if picture.label is not None and picture.label >= work.inputs.classes:
            raise PictureError(
                f"{picture.name} has the label {picture.label}, "
                f"but the model has the classes 0 to {work.inputs.classes - 1}",
                "check the labels, or whether --train is of another data set",
            )
    without = [picture.name for picture in chosen if picture.label is None]
    if 0 < len(without) < len(chosen):
        raise make_missing_error(
            without,
            len(chosen),
            "no label",
            "name every folder like one class, or none: without labels the float model teaches",
            kind="training",
        )
    return not without
