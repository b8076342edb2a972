"""What tasks whose samples are pictures share."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from kit import build_inputs, models
from kit.calibration import ModelInputs
from kit.errors import RecipeError
from kit.manifest.preprocessing import Fit, Preprocessing
from kit.models.presets import PicturePreset, find_preset, take_preset
from kit.network import run_network
from kit.recipe import CHANNELS, LEVELS, Color, split_own_model
from kit.signature import Samples, TensorSpec, stack
from kit.tasks.answers import PictureSample, SampleList
from kit.tasks.interface import GoldenSet

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from kit.models.interface import Model
    from kit.models.probing import AnswerForm
    from kit.recipe import Recipe

GOLDEN = 16  # crops
_GOLDEN_BYTES = 8 * 2**20  # of answers in each file of a bundle, which has two per model file
_FEWEST = 2


def describe_preprocessing(
    recipe: Recipe, member: Model, resize_ratio: float | None = None
) -> Preprocessing:
    """Return the preprocessing of pictures for a recipe.

    Mean and deviation of a recipe are for its own range of pixels, and here always for 0 to 1.

    Args:
        recipe: whose resolution, channels, mean and standard deviation it has.
        member: the model, whose own preprocessing is the default.
        resize_ratio: shorter side after resizing, as a multiple of the crop, unless the recipe
            has a `preprocess`; None takes the model's own.

    Raises:
        RecipeError: the recipe's `preprocess` cannot be used.
    """
    preset = take_preset(member.spec)
    if recipe.preprocess is not None:
        preset = find_preset(recipe.preprocess)
    elif resize_ratio is not None:
        preset = replace(preset, resize_ratio=resize_ratio, crop_share=None)
    color, pixels = recipe.color or preset.color, recipe.pixels or "0..1"
    white = LEVELS[pixels]
    mean, std = (
        _choose_levels(recipe, given, own_numbers, color, preset.color, default)
        for given, own_numbers, default in (
            (recipe.mean, preset.mean, 0.0),
            (recipe.std, preset.std, 1.0),
        )
    )
    height, width = recipe.sides
    resized = tuple(_resize_side(side, preset) for side in (height, width))
    fit: Fit = "cover" if preset.fit == "shorter-side" and height != width else preset.fit
    return Preprocessing(
        resize=resized[0] if fit == "shorter-side" else None,
        resize_to=None if fit == "shorter-side" else (resized[0], resized[1]),
        fit=fit,
        crop=height,
        crop_width=None if height == width else width,
        interpolation=preset.interpolation,
        color=color,
        layout=recipe.layout or "NCHW",
        mean=tuple(value / white for value in mean),
        std=tuple(value / white for value in std),
    )


def _choose_levels(
    recipe: Recipe,
    given: tuple[float, ...] | None,
    own_numbers: tuple[float, ...],
    color: Color,
    own_color: Color,
    default: float,
) -> tuple[float, ...]:
    """Return a mean or deviation per channel: the given one, the model's own, or the default."""
    if given is not None:
        return given
    if recipe.pixels == "0..255" or CHANNELS[color] != len(own_numbers):
        return (default,) * CHANNELS[color]
    return own_numbers if color == own_color else own_numbers[::-1]


def _resize_side(side: int, preset: PicturePreset) -> int:
    if preset.crop_share is not None:
        return math.floor(side / preset.crop_share)
    return round(side * preset.resize_ratio)


def check_picture_options(recipe: Recipe) -> None:
    """Refuse inputs that kit's own networks do not take, or that training cannot use.

    Raises:
        RecipeError: one of kit's networks is to take grey pictures, or channels last, or one is
            to be trained with channels last.
    """
    if recipe.quantize == "qat" and recipe.layout == "NHWC":
        raise RecipeError(
            "layout = 'NHWC': quantize = 'qat' crops and mirrors pictures with channels first",
            "use --quantize static, or permute in a network that takes channels first",
        )
    if split_own_model(recipe.model) is not None:
        return
    for name, value in (("color", recipe.color), ("layout", recipe.layout)):
        if value in ("grey", "NHWC"):
            raise RecipeError(
                f"{name} = {value!r}: {recipe.model} takes three channels, and these first",
                "leave it out; it is for a network of your own, FILE.py:FACTORY",
            )


def describe_own_model(
    recipe: Recipe, task: str, form: AnswerForm, resize_ratio: float | None = None
) -> tuple[ModelInputs, tuple[int, ...]]:
    """Return the inputs of a user's model of pictures, and the shape of its answer to one.

    Args:
        recipe: of the build.
        task: for messages.
        form: of the answers.
        resize_ratio: see `describe_preprocessing`; None takes the model's own.

    Raises:
        RecipeError: the model is one of kit's, or its answers have another form.
    """
    from kit.models.probing import find_answer_shape
    from kit.models.user_model import UserModel

    member = models.get_model(recipe.model)
    if not isinstance(member, UserModel):
        raise RecipeError(
            f"{recipe.model} is an image classifier, and no model of the task {task}",
            "name a model of your own: FILE.py:FACTORY",
        )
    preprocessing = describe_preprocessing(recipe, member, resize_ratio)
    shape = find_answer_shape(member, preprocessing.shape, form)
    spec = TensorSpec(name="image", shape=(1, *preprocessing.shape))
    return ModelInputs((spec,), 0, preprocessing), shape


def read_class_names(recipe: Recipe, classes: int) -> tuple[str, ...] | None:
    """Return the names in the recipe's label file; None without a file.

    Raises:
        RecipeError: the file cannot be used, or names another number of classes.
    """
    names = build_inputs.read_labels(recipe)
    if names and len(names) != classes:
        background = len(names) == classes + 1 and names[0].casefold().strip("_ ") == "background"
        raise RecipeError(
            f"{recipe.labels} names {len(names)} classes, {recipe.model} has {classes} outputs",
            f"leave out the first one, {names[0]}, which the network does not have"
            if background
            else "name one class in each line, in the order of the outputs",
        )
    return names


def refuse_training(recipe: Recipe, task: str) -> None:
    """Refuse quantization-aware training, whose objectives are for classifiers.

    Raises:
        RecipeError: the recipe trains.
    """
    if recipe.quantize == "qat":
        raise RecipeError(
            f"quantize = 'qat' trains classifiers of pictures, and the task is {task}",
            "use --quantize static",
        )


def choose_crops(model: nn.Module, inputs: ModelInputs, *names: str, values: int = 1) -> GoldenSet:
    """Return crops of the sample photos with the float model's answers, fewer of large answers.

    Args:
        model: the float model.
        inputs: of it.
        names: of its outputs.
        values: number of values of its answer to one picture.
    """
    from kit.images import photos

    assert inputs.preprocessing is not None  # tasks of pictures have it
    count = max(_FEWEST, min(GOLDEN, _GOLDEN_BYTES // (4 * values)))
    crops = stack("image", photos.make_golden(count, inputs.preprocessing))
    return GoldenSet(photos.SOURCE, crops, run_network(model, crops, names))


def list_pictures(inputs: ModelInputs, source: Path) -> SampleList:
    """List one picture, or those of a folder or zip, without reading them.

    Raises:
        PictureError: there is none.
    """
    from kit.images import preprocess, sets

    preprocessing = inputs.preprocessing
    assert preprocessing is not None  # tasks of pictures have it
    pictures = sets.open_pictures(source)

    def read(index: int) -> Samples:
        picture = pictures[index]
        image = preprocess.decode(picture.read(), picture.name)
        array = preprocess.to_array(image, preprocessing, picture.name)
        return PictureSample(inputs.specs, (array[None],), image.size)

    return SampleList([picture.name for picture in pictures], read)
