"""Build a bundle from a recipe; the only room that knows all steps."""

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

    A format that fails does not affect the others: the bundle has those that passed, and
    `failed` in its manifest has the reasons of the others.

    Args:
        recipe: what to build; see `kit.recipe.make`.
        target: folder of the bundle; an existing bundle there is replaced.
        progress: called with the name of each stage as it begins.
        use_cache: take an unchanged recipe's bundle from the cache.
        gate: accuracy limits of every format; None for no limits.
        all_or_nothing: raise an error if a format fails.

    Raises:
        KitError: one of its subclasses, see `kit.errors`; nothing is left behind.
    """
    path = Path(target)
    _threads.wait_passively()  # before a user's own model imports torch when inputs are read
    progress = progress if distributed.from_environment().is_rank0 else _silent
    bundle.check_target(path)
    progress("reading the inputs")
    _check.check(recipe)
    task = get_task(recipe.task)
    pictures = task.open_calibration(recipe)
    gate_pictures = _gate.pictures(gate, recipe, pictures)
    contents = {**identity(recipe, pictures), "training": _train_set.identity(recipe)}
    cache_key = cache.key(contents, recipe)
    with distributed.process_group() as group:
        if not group.is_rank0:
            with models.running(recipe.model):
                _follow(recipe, cache_key, pictures, group)
            return bundle.load(path)
        with bundle.staged(path) as folder:
            known = contents.get("weights")
            weights = known if isinstance(known, str) and recipe.weights != "random" else None
            if group.broadcast(
                use_cache and cache.take(cache_key, folder, recipe, pictures, weights, progress)
            ):
                progress("taken from the cache")
            else:
                with _checked_numbers(recipe), models.running(recipe.model):
                    _make(recipe, cache_key, pictures, folder, progress, all_or_nothing)
            if gate is not None and gate_pictures is not None:
                _gate.enforce_gate(gate, gate_pictures, folder, progress, all_or_nothing)
        group.broadcast("written")
    return bundle.load(path)


@contextmanager
def _checked_numbers(recipe: Recipe) -> Iterator[None]:
    """Translate validation errors of the manifest, such as an infinite activation range.

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
    """Report no progress: only rank 0 does."""


def _make(
    recipe: Recipe,
    cache_key: str,
    pictures: CalibrationSet,
    folder: Path,
    progress: Progress,
    all_or_nothing: bool,
) -> None:
    with (
        _prepared(recipe, cache_key, pictures, progress) as base,
        files.temporary_folder() as shared,
    ):
        work = Work(**vars(base), folder=folder, shared=shared)
        work.all_or_nothing = all_or_nothing
        with _lowering.open_helper(work) as helper:
            model = _model.load(work)
            progress("choosing golden and calibration pictures")
            failed = _lowering.lower_all(work, model, helper)
    if not failed:  # the cause may be the machine, such as too little memory
        cache.keep(cache_key, folder)


def _follow(recipe: Recipe, cache_key: str, pictures: CalibrationSet, group: Group) -> None:
    """Take part in rank 0's training, and wait until it has written the bundle."""
    cached: bool = group.broadcast(None)
    if not cached and get_algorithm(recipe.quantize).trains:
        with _prepared(recipe, cache_key, pictures, _silent) as work:
            from kit.quantize.examples import from_samples

            model = _model.load(work)
            samples = pictures.load(work.inputs)
            _prepare.prepare(work, model, from_samples(samples, work.inputs.at_once))
    group.broadcast(None)


@contextmanager
def _prepared(
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
