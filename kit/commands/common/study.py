"""Implementation of `kit analyze`: choose the recipe, and analyze it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kit.commands.common.option_types import Given
from kit.commands.common.recipe_options import split_items
from kit.commands.common.settings import split_defaults
from kit.errors import BundleError, RecipeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kit.analysis.case import Case
    from kit.analysis.repair import Repair
    from kit.analysis.sensitivity import Study
    from kit.analysis.target import RepairTarget
    from kit.bundles.bundle import Bundle
    from kit.pipeline import FloatModel, Unseen
    from kit.recipe import Recipe
    from kit.signature import FloatArray, TensorSpec


@dataclass(frozen=True)
class StudyRequest:
    """The request of the command line.

    Attributes:
        images: folder or zip to measure on, None for the rest of the calibration's folder.
        speed_up: assumed speed-up by int8.
        goal: of a repair, None for no repair.
        max_pictures: pictures that a repair is measured on.
    """

    recipe: Recipe
    images: Path | None
    speed_up: float
    goal: RepairTarget | None
    max_pictures: int


@dataclass(frozen=True)
class Found:
    """Results of an analysis, and its pictures."""

    request: StudyRequest
    model: FloatModel
    pictures: Unseen
    study: Study
    repair: Repair | None


def resolve_recipe(what: str, options: dict[str, Given]) -> Recipe:
    """Return the recipe of a bundle or model, with options applied.

    Args:
        what: folder of a bundle, whose layers in float stay float; or a model, of which none is.
        options: fields of a recipe; None if omitted.

    Raises:
        BundleError: an input of the bundle's build no longer exists.
        RecipeError: an option cannot be used.
    """
    from kit import recipe, recipe_input
    from kit.bundles import loading
    from kit.no_bundle import explain_no_bundle, find_near_bundle
    from kit.registry import MODEL_NAMES

    options = {**options, "keep_float": split_items(options.get("keep_float"))}
    defaults, fields = split_defaults(options)
    named = "keep_float" in defaults | fields
    if not Path(what).is_dir():
        fields = defaults | fields
        path = Path(what)
        is_model = recipe.split_own_model(what) is not None or what in MODEL_NAMES.list_all()
        if not is_model and not path.exists() and (os.sep in what or find_near_bundle(path)):
            raise explain_no_bundle(path, "")
        return recipe_input.make_recipe(what, **({} if named else {"keep_float": ()}), **fields)
    built = loading.load_bundle(what)
    kept = {} if named else _list_kept(built)
    fields = {**built.manifest.recipe.model_dump(), **_own_labels(built), **kept, **fields}
    _check_sources(what, fields)
    return recipe_input.make_recipe(**fields)


def _list_kept(built: Bundle) -> dict[str, Given]:
    """Return the layers that the build chose to keep in float; else it would choose them again."""
    names = built.manifest.kept_float
    is_number = len(names) == 1 and names[0].isdecimal()  # as an option, not a name
    if not built.manifest.recipe.keeps_automatically or is_number:
        return {}
    return {"keep_float": names}


def _own_labels(built: Bundle) -> dict[str, str]:
    """Return the bundle's own labels if the original file no longer exists."""
    label_file, kept = built.manifest.recipe.labels, built.manifest.labels
    if label_file is None or kept is None or Path(label_file).is_file():
        return {}
    return {"labels": str(built.path / kept)}


def _check_sources(what: str, fields: dict[str, Given]) -> None:
    from kit import recipe
    from kit.models.weights import split_key

    mine = recipe.split_own_model(fields["model"])
    if mine is not None and not mine[0].is_file():
        raise BundleError(
            f"{what} was built from {mine[0]}, which is not there",
            "go to the folder that it was built in, or name the model: FILE.py:FACTORY",
        )
    sources = {"calibrate": "pictures"}
    if fields["weights"] not in ("imagenet", "random", recipe.OWN):
        sources["weights"] = "weights"
    for name, words in sources.items():
        if fields[name] is not None and not split_key(fields[name])[0].exists():
            raise BundleError(
                f"{what} was built with the {words} {fields[name]}, which is no longer there",
                f"name where it is now with --{name}",
            )


def run(request: StudyRequest, progress: Callable[[str], None]) -> Found:
    """Study a recipe, and look for a repair if there is a goal.

    Raises:
        KitError: the weights or the pictures cannot be used.
    """
    from kit.analysis import sensitivity
    from kit.models import get_model
    from kit.models.weights import hash_source
    from kit.pipeline import choose_unseen, load_float_model
    from kit.recipe import OWN

    recipe = request.recipe
    if recipe.weights != OWN:  # fails before torch is loaded if missing
        hash_source(recipe.weights, get_model(recipe.model).spec.weights, recipe.seed)
    goal = request.goal
    model = load_float_model(request.recipe, progress)
    measured = choose_unseen(
        model, request.images, sensitivity.PICTURES if goal is None else request.max_pictures
    )
    _check_labels(goal, measured)
    case = _case(model, measured, request.speed_up)
    progress("corrections")
    folded, kept = model.prepared()
    thin = sensitivity.thin_case(case)
    study = sensitivity.make_study(folded, thin, request.recipe.observer, kept, _quarters(progress))
    repair = None if goal is None else _repair(goal, case, model, kept, study, progress)
    return Found(request, model, measured, study, repair)


def _check_labels(goal: RepairTarget | None, measured: Unseen) -> None:
    if goal is not None and goal.measure == "drop" and measured.labels is None:
        raise RecipeError(
            f"{measured.source} has no labels, so there is no top-1 to drop",
            "ask for an agreement (97%) or an SQNR (20dB), or give labelled pictures with --images",
        )


def _case(model: FloatModel, measured: Unseen, speed_up: float) -> Case:
    import numpy as np
    import torch

    from kit.analysis.case import Case
    from kit.analysis.outputs import find_scales, join_answers

    work, answers = model.work, model.answer(measured.inputs)
    scales = find_scales(answers)
    return Case(
        calibration=torch.from_numpy(model.calibration),
        pictures=torch.from_numpy(measured.inputs),
        reference=answers.arrays[0] if scales is None else join_answers(answers) * scales,
        granularity=work.recipe.granularity,
        output_margin=work.pictures.output_margin,
        speed_up=speed_up,
        labels=None if measured.labels is None else np.array(measured.labels),
        scales=scales,
        measure_agreement=partial(_measure_agreement, model, answers.specs, scales),
    )


def _measure_agreement(
    model: FloatModel,
    specs: tuple[TensorSpec, ...],
    scales: FloatArray | None,
    reference: FloatArray,
    answers: FloatArray,
) -> float:
    from kit.analysis.outputs import split_answers

    left, right = (split_answers(specs, rows, scales) for rows in (reference, answers))
    return model.work.task.measure_agreement(left, right, model.work.inputs)


def _quarters(progress: Callable[[str], None]) -> Callable[[float], None]:
    """Report progress four times."""
    quarters = [0]

    def step(done: float) -> None:
        if int(4 * done) > quarters[0]:
            quarters[0] = int(4 * done)
            progress(f"quantizing one layer at a time: {25 * quarters[0]} %")

    return step


def _repair(
    goal: RepairTarget,
    case: Case,
    model: FloatModel,
    kept: tuple[str, ...],
    study: Study,
    progress: Callable[[str], None],
) -> Repair:
    from kit.analysis.repair import Choice, Search
    from kit.commands.common.analysis_output import describe_attempt

    progress(f"looking for {goal}")
    costs = {record.name: record.latency for record in study.records if record.layer}
    search = Search(
        goal,
        case,
        lambda corrections, names: model.prepared(corrections, names)[0],
        costs,
        lambda attempt: progress(describe_attempt(attempt)),
    )
    recipe = model.work.recipe
    return search.run(Choice(recipe.corrections, recipe.observer, kept))
