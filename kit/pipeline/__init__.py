"""From a recipe to a bundle; the only room that knows all steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from kit import bundle, cache, files, models
from kit.algorithms import get_algorithm
from kit.bundle import Bundle
from kit.calibration import CalibrationSet, identity
from kit.documents import fault_of
from kit.errors import BuildError
from kit.pipeline import _check, _gate, _lowering, _model, _prepare, _threads, _train_set
from kit.pipeline._explain import explain
from kit.pipeline._float import FloatModel, Unseen, float_model, unseen
from kit.pipeline._gate import Gate
from kit.pipeline._work import Preparation, Progress, Work
from kit.quantize import distributed
from kit.quantize.distributed import Group
from kit.recipe import Recipe
from kit.tasks import get_task

__all__ = ["FloatModel", "Gate", "Unseen", "build", "explain", "float_model", "unseen"]


def build(
    recipe: Recipe,
    target: str | Path,
    progress: Progress = lambda stage: None,
    use_cache: bool = True,
    gate: Gate | None = None,
    all_or_nothing: bool = False,
) -> Bundle:
    """Build, quantize, lower and verify a model.

    A format that fails does not take the others with it: the bundle holds those that passed,
    and its manifest says in `failed` why the others are missing.

    Args:
        recipe: what to build; see `kit.recipe.make`.
        target: folder of the bundle; an existing bundle there is replaced.
        progress: called with the name of each stage as it begins.
        use_cache: take an unchanged recipe's bundle from the cache.
        gate: accuracy that every format must keep; None asks for none.
        all_or_nothing: a format that fails is an error.

    Raises:
        KitError: one of its subclasses, see `kit.errors`; nothing is left behind.
    """
    path = Path(target)
    _threads.wait_passively()  # a model of the user's own imports torch as the inputs are read
    progress = progress if distributed.standing().leads else _silent
    bundle.check_target(path)
    progress("reading the inputs")
    _check.check(recipe)
    task = get_task(recipe.task)
    pictures = task.open_calibration(recipe)
    judges = _gate.pictures(gate, recipe, pictures)
    contents = {**identity(recipe, pictures), "training": _train_set.identity(recipe)}
    cache_key = cache.key(contents, recipe)
    with distributed.together() as group:
        if not group.leads:
            with models.running(recipe.model):
                _follow(recipe, cache_key, pictures, group)
            return bundle.load(path)
        with bundle.staged(path) as folder:
            known = contents.get("weights")
            weights = known if isinstance(known, str) and recipe.weights != "random" else None
            if group.share(
                use_cache and cache.take(cache_key, folder, recipe, pictures, weights, progress)
            ):
                progress("taken from the cache")
            else:
                with _numbers_that_can_be(recipe), models.running(recipe.model):
                    _make(recipe, cache_key, pictures, folder, progress, all_or_nothing)
            if gate is not None and judges is not None:
                _gate.enforce_gate(gate, judges, folder, progress, all_or_nothing)
        group.share("written")
    return bundle.load(path)


@contextmanager
def _numbers_that_can_be(recipe: Recipe) -> Iterator[None]:
    """Map what the manifest's schema refuses, such as an activation range without end.

    Raises:
        BuildError: names the field.
    """
    try:
        yield
    except ValidationError as exc:
        raise BuildError(
            f"{recipe.model} cannot be described: {fault_of(exc)}",
            "its numbers are too large: look at the weights",
        ) from exc


def _silent(stage: str) -> None:
    """Say nothing: one of several processes speaks."""


def _make(
    recipe: Recipe,
    cache_key: str,
    pictures: CalibrationSet,
    folder: Path,
    progress: Progress,
    all_or_nothing: bool,
) -> None:
    with _begun(recipe, cache_key, pictures, progress) as begun, files.temporary_folder() as shared:
        work = Work(**vars(begun), folder=folder, shared=shared)
        work.all_or_nothing = all_or_nothing
        with _lowering.open_helper(work) as helper:
            model = _model.load(work)
            progress("choosing golden and calibration pictures")
            failed = _lowering.lower_all(work, model, helper)
    if not failed:  # it may have been the machine's fault, such as too little memory
        cache.keep(cache_key, folder)


def _follow(recipe: Recipe, cache_key: str, pictures: CalibrationSet, group: Group) -> None:
    """Train along with the first process, and wait until it has written the bundle."""
    cached: bool = group.share(None)
    if not cached and get_algorithm(recipe.quantize).trains:
        with _begun(recipe, cache_key, pictures, _silent) as work:
            from kit.quantize.examples import from_samples

            model = _model.load(work)
            samples = pictures.load(work.inputs)
            _prepare.prepare(work, model, from_samples(samples, work.inputs.at_once))
    group.share(None)


@contextmanager
def _begun(
    recipe: Recipe, cache_key: str, pictures: CalibrationSet, progress: Progress
) -> Iterator[Preparation]:
    progress("loading PyTorch and the weights")
    task = get_task(recipe.task)
    with _threads.of_this_machine():
        yield Preparation(
            recipe=recipe,
            cache_key=cache_key,
            task=task,
            pictures=pictures,
            progress=progress,
            inputs=task.describe_inputs(recipe),
        )
