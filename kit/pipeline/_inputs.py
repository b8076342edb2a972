"""How pictures become a model's input, and what its outputs are called."""

from __future__ import annotations

from dataclasses import dataclass

from kit import calibration, models
from kit.errors import RecipeError
from kit.manifest import Preprocessing
from kit.models._user import UserModel
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
    """Return what surrounds the model of a recipe.

    Raises:
        RecipeError: the user's model or labels cannot be used, or differ in number.
    """
    member = models.get(recipe.model)
    preprocessing = Preprocessing(
        resize=round(recipe.resolution * member.SPEC.resize_ratio),
        crop=recipe.resolution,
        mean=recipe.mean or member.SPEC.mean,
        std=recipe.std or member.SPEC.std,
    )
    names = calibration.labels(recipe)
    if isinstance(member, UserModel):
        classes = member.classes(recipe.resolution)
        if names and len(names) != classes:
            raise RecipeError(
                f"{recipe.labels} names {len(names)} classes, {recipe.model} has {classes} outputs",
                "name one class in each line, in the order of the outputs",
            )
    else:
        classes = len(names) if names else member.SPEC.classes
    return Inputs(preprocessing, classes, names or _imagenet(classes))


def _imagenet(classes: int) -> tuple[str, ...] | None:
    from kit.images.labels import imagenet_categories

    names = imagenet_categories()
    return names if classes == len(names) else None
