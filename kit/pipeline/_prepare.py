"""Steps on the float model that are done once for all formats."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

from kit import encodings
from kit.errors import VerificationFailed
from kit.manifest.build_records import Calibration
from kit.notice_values import Value
from kit.notices import make_notice
from kit.pipeline import _accuracy, _keep_float, training
from kit.pipeline._artifact_keys import (
    chooses_layers,
    find_method,
    is_prepared,
    keeps_layers,
    needs_encodings,
    needs_ranges,
)
from kit.pipeline._calibrate import calibrate, correct
from kit.pipeline.build_state import Preparation

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
    if chooses_layers(work.recipe):
        choose_encodings(work, model, folded, examples)
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
        correct(work, folded, examples)
        if method.trains:
            training.train(work, model, folded, examples)
    elif keeps_layers(work.recipe) and not work.recipe.keeps_automatically:
        work.kept_float = work.recipe.keep_float


def _kept(work: Preparation, folded: GraphModule, examples: Examples) -> tuple[str, ...]:
    """Return the layers that stay float; if a number is given, measure on a corrected copy.

    The model itself is corrected afterwards, knowing which weights are not rounded, so that a
    number gives the same bundle as the names.
    """
    if work.recipe.keeps_automatically:
        return ()  # `choose_encodings` may keep some
    count = work.recipe.keep_worst
    if count is None:
        return work.recipe.keep_float
    trial = copy.deepcopy(folded)
    correct(work, trial, examples)
    return _keep_float.find_worst(work, trial, examples, count)


def choose_encodings(
    work: Preparation, model: nn.Module, folded: GraphModule, examples: Examples
) -> None:
    """Read the encodings of the recipe's file, or choose them, once for all formats.

    If the recipe says so and the int8 network is inaccurate, layers are kept in float.

    Args:
        work: receives encodings, ranges, layers in float and notices.
        model: the float model in eval mode.
        folded: its graph, corrected; if layers are kept, it is corrected again.
        examples: for calibration.

    Raises:
        RecipeError: the file has an encoding for a tensor that is not in the graph.
    """
    from kit.quantize import encoding_choice
    from kit.quantize.bias_range import fit_biases

    recipe = work.recipe
    if not needs_encodings(recipe):
        work.encodings, work.ranges = None, ()  # training has chosen some for itself
        return
    if recipe.encodings is not None:
        given = encoding_choice.check_names(folded, encodings.read(Path(recipe.encodings)))
        work.encodings = fit_biases(folded, given)
        return
    if work.encodings is None:
        simulation = calibrate(work, folded, examples)
        if chooses_layers(recipe):
            _accuracy.keep_if_inaccurate(work, model, folded, examples, simulation)
    else:  # training has chosen those of activations
        work.encodings = encoding_choice.add_weight_encodings(
            folded, work.encodings.activations, recipe.granularity, work.kept_float
        )


def check_calibration(
    work: Preparation, folded: GraphModule, examples: Examples, natural: Examples
) -> None:
    """Record the calibration set, and refuse one that does not cover natural pictures.

    Raises:
        VerificationFailed: too many values of a layer are outside the calibrated range.
    """
    from kit.quantize import coverage
    from kit.quantize.options import WIDENING

    if not find_method(work.recipe).calibrates:
        return
    pictures = work.pictures
    work.progress("checking what the calibration covers")
    chosen = {} if work.encodings is None else work.encodings.list_ends()
    widened = needs_ranges(work.recipe) and not needs_encodings(work.recipe)
    measured = coverage.measure_coverage(
        folded, examples, natural, work.extremes, chosen, WIDENING if widened else 1.0
    )
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
        work.notices.append(make_notice("calibration.thin", **values, sample=work.task.sample))
    work.notices += pictures.notices
    work.calibration = Calibration(
        source=pictures.source,
        images=len(examples),
        sha256=pictures.sha256,
        pictures=pictures.digests,
        worst_layer=measured.layer,
        outside=measured.outside,
    )
