"""Steps on the float model that are done once for all formats."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

from kit import encodings
from kit.corrections import get_correction, plan
from kit.errors import VerificationFailed
from kit.manifest.build_records import Calibration
from kit.notice_values import Value
from kit.notices import new_notice
from kit.pipeline import _keep_float, training
from kit.pipeline._artifact_keys import (
    find_method,
    is_prepared,
    keeps_layers,
    needs_ranges,
)
from kit.pipeline.build_state import Preparation, shares

if TYPE_CHECKING:
    from torch import nn
    from torch.fx import GraphModule

    from kit.quantize.examples import Examples


def prepare(work: Preparation, model: nn.Module, examples: Examples) -> GraphModule:
    """Fold, correct and train; choose the layers that stay float.

    Args:
        work: receives the corrections, the training's record, and the layers kept in float.
        model: the float model in eval mode; it is not changed.
        examples: for calibration.
    """
    folded = fold_model(work, model, examples)
    correct_and_train(work, model, folded, examples)
    return folded


def fold_model(work: Preparation, model: nn.Module, examples: Examples) -> GraphModule:
    """Return the folded graph of a model, which has all that the recipe names.

    Raises:
        UnknownName: a layer to keep in float does not exist.
        RecipeError: the encodings of a file are for another model.
    """
    from kit.quantize import encoding_choice
    from kit.quantize.graph import fold

    folded = fold(model, examples)
    if keeps_layers(work.recipe):
        _keep_float.check(work.recipe, folded)
    if find_method(work.recipe).calibrates and work.recipe.encodings is not None:
        encoding_choice.check_names(folded, encodings.read(Path(work.recipe.encodings)))
    return folded


def correct_and_train(
    work: Preparation, model: nn.Module, folded: GraphModule, examples: Examples
) -> None:
    """Correct and train a folded graph in place; choose the layers that stay float.

    Args:
        work: receives the corrections, the training's record, and the layers kept in float.
        model: the float model in eval mode; it is not changed.
        folded: its graph.
        examples: for calibration.
    """
    method = find_method(work.recipe)
    if method.calibrates and any(not is_prepared(work.recipe, key) for key in work.artifact_keys):
        work.original = {name: value.clone() for name, value in folded.state_dict().items()}
    if method.calibrates:
        work.kept_float = _kept(work, folded, examples)
        _correct(work, folded, examples)
        if method.trains:
            training.train(work, model, folded, examples)
    elif keeps_layers(work.recipe):
        work.kept_float = work.recipe.keep_float


def _kept(work: Preparation, folded: GraphModule, examples: Examples) -> tuple[str, ...]:
    """Return the layers that stay float; if a number is given, measure on a corrected copy.

    The model itself is corrected afterwards, knowing which weights are not rounded, so that a
    number gives the same bundle as the names.
    """
    count = work.recipe.keep_worst
    if count is None:
        return work.recipe.keep_float
    trial = copy.deepcopy(folded)
    _correct(work, trial, examples)
    return _keep_float.worst(work, trial, examples, count)


def _correct(work: Preparation, folded: GraphModule, examples: Examples) -> None:
    recipe = work.recipe
    work.corrections = plan.resolve(recipe.corrections)
    for name in work.corrections:
        work.progress(f"correction: {name}")
        step = get_correction(name)
        progress = shares(work.progress, f"correction: {name}")
        step.apply(folded, examples, recipe.granularity, work.kept_float, progress)


def choose_encodings(work: Preparation, folded: GraphModule, examples: Examples) -> None:
    """Read the encodings of the recipe's file, or choose them, once for all formats.

    Raises:
        RecipeError: the file has an encoding for a tensor that is not in the graph.
    """
    from kit.quantize import encoding_choice, range_search
    from kit.quantize.simulation import Simulation
    from kit.quantize.statistics import Extremes

    recipe = work.recipe
    if not needs_ranges(recipe):
        return
    if recipe.encodings is not None:
        work.encodings = encoding_choice.check_names(folded, encodings.read(Path(recipe.encodings)))
        return
    kept = work.kept_float
    if work.encodings is None:  # else training has chosen those of activations
        work.progress("choosing activation ranges")
        simulation = Simulation(folded, recipe.granularity, recipe.observer)
        extremes = Extremes()  # for `check_calibration`, from the same pass
        simulation.calibrate(examples, work.pictures.output_margin, (extremes,))
        work.extremes = extremes.ends
        if recipe.observer == "search":
            work.ranges = range_search.search(
                simulation, examples, shares(work.progress, "choosing activation ranges")
            )
        activations = encoding_choice.activation_encodings(folded, simulation)
    else:
        activations = work.encodings.activations
    work.encodings = encodings.Encodings(
        activations=activations,
        weights=encoding_choice.weight_encodings(folded, recipe.granularity, kept),
    )


def check_calibration(
    work: Preparation, folded: GraphModule, examples: Examples, natural: Examples
) -> None:
    """Record the calibration set, and refuse one that does not cover natural pictures.

    Raises:
        VerificationFailed: too many values of a layer are outside the calibrated range.
    """
    from kit.quantize import coverage

    if not find_method(work.recipe).calibrates:
        return
    pictures = work.pictures
    work.progress("checking what the calibration covers")
    measured = coverage.coverage(folded, examples, natural, work.extremes)
    seen = "natural pictures" if work.inputs.preprocessing else "golden samples"
    # Custom weights may be for other kinds of pictures.
    if measured.outside > coverage.TOLERATED and work.recipe.weights == "imagenet":
        raise VerificationFailed(
            f"the calibration set ({pictures.source}, {len(examples)} pictures) does not cover "
            f"natural pictures: {100 * measured.outside:.2g} % of the values of "
            f"{measured.layer} on {seen} lie outside the range it gave",
            "calibrate with 32 or more pictures like those the model will see",
        )
    if measured.outside > coverage.DOUBTFUL:
        values: dict[str, Value] = {
            "share": measured.outside,
            "layer": measured.layer,
            "samples": seen,
        }
        work.notices.append(new_notice("calibration.thin", **values, sample=work.task.sample))
    work.notices += pictures.notices
    work.calibration = Calibration(
        source=pictures.source,
        images=len(examples),
        sha256=pictures.sha256,
        pictures=pictures.digests,
        worst_layer=measured.layer,
        outside=measured.outside,
    )
