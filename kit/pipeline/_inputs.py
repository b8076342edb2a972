"""How pictures become a model's input, and what its outputs are called."""

from __future__ import annotations

from dataclasses import dataclass

from kit import models
from kit.manifest import Preprocessing
from kit.recipe import Recipe


@dataclass(frozen=True)
class Inputs:
    """What surrounds a model.

    Attributes:
        classes: number of outputs.
        labels: their names in output order, or None.
    """

    preprocessing: Preprocessing
    classes: int
    labels: tuple[str, ...] | None


def of(recipe: Recipe) -> Inputs:
    """Return what surrounds the model of a recipe."""
    spec = models.get(recipe.model).SPEC
    preprocessing = Preprocessing(
        resize=round(recipe.resolution * spec.resize_ratio),
        crop=recipe.resolution,
        mean=spec.mean,
        std=spec.std,
    )
    return Inputs(preprocessing, spec.classes, _labels(spec.classes))


def _labels(classes: int) -> tuple[str, ...] | None:
    from kit.images.labels import imagenet_categories

    names = imagenet_categories()
    return names if classes == len(names) else None
