"""Inputs, preprocessing, classes and boxes of a detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from kit import build_inputs, models
from kit.calibration import ModelInputs
from kit.error_text import describe_exception
from kit.errors import RecipeError
from kit.registry import DETECTION
from kit.signature import TensorSpec
from kit.tasks._pictures import describe_preprocessing
from kit.tasks.object_detection.heads import (
    HINT,
    accept_shapes,
    adapt_outputs,
    describe_outputs,
    find_normalization,
    name_outputs,
)

if TYPE_CHECKING:
    from torch import nn

    from kit.manifest.preprocessing import Preprocessing
    from kit.models.probing import AnswerForm
    from kit.models.sourced import SourcedModel
    from kit.models.user_model import UserModel
    from kit.recipe import Recipe

BACKGROUND = "background"  # label of the class that is no object


def describe_detector(recipe: Recipe) -> ModelInputs:
    """Return the inputs of a recipe's detector, and how its outputs become boxes.

    Raises:
        RecipeError: the model is no detector, or does not say how its numbers become boxes.
    """
    from kit.models.sourced import SourcedModel
    from kit.models.user_model import UserModel

    member = models.get_model(recipe.model)
    preprocessing = describe_preprocessing(recipe, member, 1.0)
    if isinstance(member, UserModel):
        model, shapes = _probe_own(member, preprocessing)
    elif isinstance(member, SourcedModel) and member.task == DETECTION:
        classes = len(build_inputs.read_labels(recipe) or ()) or member.spec.classes
        model, shapes = _run_sourced(member, classes, preprocessing)
    else:
        raise RecipeError(
            f"{recipe.model} is an image classifier, and no model of the task {DETECTION}",
            "name a detector: torchvision:ssdlite320_mobilenet_v3_large, or FILE.py:FACTORY",
        )
    outputs, fit = describe_outputs(model, shapes, preprocessing.sides, recipe.model)
    changes: dict[str, object] = {}
    if fit != "crop" and recipe.preprocess is None:
        changes = {"fit": fit, "resize": None, "resize_to": preprocessing.sides}
    normalization = find_normalization(model)
    if normalization and recipe.mean is None and recipe.std is None and not recipe.pixels:
        order = -1 if recipe.color == "BGR" else 1
        values = (numbers[::order] for numbers in normalization)
        changes |= dict(zip(("mean", "std"), values, strict=True))
    names = build_inputs.read_labels(recipe)
    if names is None and isinstance(member, SourcedModel):
        names = member.spec.labels
    inputs = ModelInputs(
        (TensorSpec(name="image", shape=(1, *preprocessing.shape)),),
        outputs.record.classes,
        preprocessing.model_copy(update=changes),
        outputs=name_outputs(len(shapes)),
        detection=outputs,
    )
    return replace(inputs, labels=_name_classes(recipe, names, inputs))


def _form() -> AnswerForm:
    from kit.models.probing import AnswerForm

    return AnswerForm(lambda shape: False, HINT, adapt_outputs, accept_shapes)


def _probe_own(
    member: UserModel, preprocessing: Preprocessing
) -> tuple[nn.Module, Sequence[tuple[int, ...]]]:
    from kit.models.probing import find_answer_shapes

    shapes = find_answer_shapes(member, preprocessing.shape, _form())
    return adapt_outputs(member.build(), member.name), shapes


def _run_sourced(
    member: SourcedModel, classes: int, preprocessing: Preprocessing
) -> tuple[nn.Module, Sequence[tuple[int, ...]]]:
    import torch

    model = adapt_outputs(member.build(1.0, classes), member.name)
    try:
        with torch.no_grad():
            answers = model(torch.zeros(1, *preprocessing.shape))
    except Exception as exc:  # foreign code may raise any type
        raise RecipeError(
            f"{member.name} fails on an input of {[1, *preprocessing.shape]}: "
            f"{describe_exception(exc)}",
            f"it was made for --input {member.side}",
        ) from exc
    return model, [tuple(answer.shape) for answer in answers]


def _name_classes(
    recipe: Recipe, names: tuple[str, ...] | None, inputs: ModelInputs
) -> tuple[str, ...] | None:
    """Return one name for each score; a list without the background gets it.

    Raises:
        RecipeError: there is another number of names.
    """
    if names is None or len(names) == inputs.classes:
        return names
    assert inputs.detection is not None  # of a detector
    background = inputs.detection.record.background
    if background is not None and len(names) == inputs.classes - 1:
        return (*names[:background], BACKGROUND, *names[background:])
    less = "" if background is None else f", of which number {background} is the background"
    raise RecipeError(
        f"{recipe.labels} names {len(names)} classes, {recipe.model} has {inputs.classes}{less}",
        "name one class in each line, in the order of the scores",
    )
