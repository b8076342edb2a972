"""Explain in words what a build would do, without building or running the model."""

from __future__ import annotations

from collections.abc import Iterator

from kit import formats
from kit.algorithms import get_algorithm
from kit.build_inputs import check_sources
from kit.calibration import CalibrationSet
from kit.corrections import get_correction, plan
from kit.errors import format_count
from kit.pipeline import _check, _gate
from kit.pipeline._artifact_keys import (
    choose_method,
    chooses_layers,
    find_method,
    list_keys,
    needs_encodings,
)
from kit.pipeline._gate import Gate
from kit.pipeline.build_state import INACCURATE_DB
from kit.precisions import get_precision
from kit.quantize import wording
from kit.quantize.options import Options
from kit.recipe import DEFAULT_TOKENS, Recipe
from kit.tasks import get_task

Section = tuple[str, list[str]]


def explain(recipe: Recipe, gate: Gate | None = None) -> Iterator[Section]:
    """Yield headings and lines: model, corrections, ranges, training, qconfigs, checks.

    A network of the user's own is run once, to determine its outputs.

    Args:
        recipe: of the build.
        gate: of the build.

    Raises:
        KitError: the recipe or the pictures cannot be used.
    """
    _check.check(recipe)
    task = get_task(recipe.task)
    pictures = task.open_calibration(recipe)
    check_sources(recipe)
    method = find_method(recipe)
    size = "{} x {}".format(*recipe.sides)
    if "tokens" in task.options:
        size = f"{recipe.tokens or DEFAULT_TOKENS} tokens"
    prepared = task.describe_inputs(recipe).preprocessing
    yield (
        "model",
        [
            f"{recipe.model}, width {recipe.width:g}, {size}",
            *([f"pictures: {prepared.describe()}"] if prepared is not None else []),
            f"weights: {recipe.weights}",
            "BatchNorm is folded into the layer before it, Dropout removed",
        ],
    )
    if method.calibrates:
        yield "calibration", [f"{format_count(pictures.count, task.sample)}: {pictures.source}"]
        yield "corrections of the float model, once for all formats", _corrections(recipe)
    if needs_encodings(recipe):
        yield "activation ranges", [_ranges(recipe)]
    if chooses_layers(recipe) or (recipe.keep_float and not recipe.keeps_automatically):
        yield "kept in float", [_kept(recipe)]
    if method.trains:
        yield "training", [_training(recipe)]
    options = Options(recipe.granularity, pictures.output_margin, recipe.observer)
    for key in list_keys(recipe):
        exporter = formats.get_format(key.format).find_backend(key.backend)
        chosen = get_algorithm(choose_method(recipe, key))
        words = get_precision(key.precision).describe(chosen, exporter.flow, options)
        lines = [f"{kind}: {text}" for kind, text in words.items()]
        yield f"{key.name}: {exporter.summary}", lines
    yield "checks", list(_checks(recipe, gate, pictures))


def _ranges(recipe: Recipe) -> str:
    if recipe.encodings is not None:
        return f"as {recipe.encodings} has them"
    return wording.OBSERVERS[recipe.observer]


def _corrections(recipe: Recipe) -> list[str]:
    steps = plan.resolve(recipe.corrections)
    summaries = [f"{s}: {get_correction(s).summary}" for s in steps]
    return summaries or ["none"]


def _kept(recipe: Recipe) -> str:
    if recipe.keeps_automatically:
        return f"layers that int8 hurts, if the int8 network has less than {INACCURATE_DB:g} dB"
    if recipe.keep_worst is not None:
        return f"the {recipe.keep_worst} layers that int8 hurts most, one at a time"
    return ", ".join(recipe.keep_float)


def _training(recipe: Recipe) -> str:
    source = recipe.train or "the calibration pictures"
    return (
        f"{recipe.train_steps} steps of {recipe.train_batch} pictures from {source}, Adam, "
        f"learning rate up to {recipe.learning_rate:g}; the better of start and end is kept"
    )


def _checks(recipe: Recipe, gate: Gate | None, pictures: CalibrationSet) -> Iterator[str]:
    yield "every format's own runtime against its graph and against the float model"
    if gate is None:
        return
    chosen = _gate.open_pictures(gate, recipe, pictures)
    assert chosen is not None
    task = get_task(recipe.task)
    count = format_count(len(chosen), task.sample)
    where = f"{count} of {_gate.choose_images(gate, recipe)}"
    if gate.max_drop is not None:
        yield f"at most {gate.max_drop:g} points of {task.drop_metric or 'top-1'} lost on {where}"
    if gate.min_agreement is not None:
        yield f"at least {gate.min_agreement:g} % of the float model's answers on {where}"
