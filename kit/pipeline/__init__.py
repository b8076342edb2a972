"""Build a bundle from a recipe; the only room that knows all steps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from kit import cache, models
from kit.build_inputs import identify_inputs
from kit.bundles import loading, writing
from kit.bundles.bundle import Bundle
from kit.documents import describe_fault
from kit.errors import BuildError
from kit.pipeline import _check, _gate, _steps, _threads, training_set
from kit.pipeline._explain import explain
from kit.pipeline._float import FloatModel, Unseen, choose_unseen, load_float_model
from kit.pipeline._gate import Gate
from kit.progress import ReportStatus
from kit.quantize import distributed
from kit.recipe import Recipe
from kit.tasks import get_task

__all__ = ["FloatModel", "Gate", "Unseen", "build", "choose_unseen", "explain", "load_float_model"]

# Of a weights file, or its first digits; random and hosted weights have another key.
_DIGEST = re.compile("[0-9a-f]{8,64}")


def build(
    recipe: Recipe,
    target: str | Path,
    progress: ReportStatus = lambda stage: None,
    use_cache: bool = True,
    gate: Gate | None = None,
    all_or_nothing: bool = False,
) -> Bundle:
    """Build, quantize, lower and verify a model.

    A format that fails does not affect the others: the bundle has those that passed, and
    `failed` in its manifest has the reasons of the others.

    Args:
        recipe: what to build; see `kit.recipe_input.make_recipe`.
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
    progress = progress if distributed.from_environment().is_rank0 else _steps.report_nothing
    writing.check_target(path)
    progress("reading the inputs")
    _check.check(recipe)
    task = get_task(recipe.task)
    pictures = task.open_calibration(recipe)
    gate_pictures = _gate.open_pictures(gate, recipe, pictures)
    contents = {**identify_inputs(recipe, pictures), "training": training_set.hash_set(recipe)}
    if own := task.identify(recipe):
        contents["task"] = own
    cache_key = cache.compute_key(contents, recipe)
    with distributed.join_process_group() as group:
        if not group.is_rank0:
            with models.guard_network(recipe.model):
                _steps.train_along(recipe, cache_key, pictures, group)
            return loading.load_bundle(path)
        with writing.stage_bundle(path) as folder:
            known = str(contents.get("weights"))
            weights = known if _DIGEST.fullmatch(known) else None
            if group.broadcast(
                use_cache and cache.take(cache_key, folder, recipe, pictures, weights, progress)
            ):
                progress("taken from the cache")
            else:
                with _checked_numbers(recipe), models.guard_network(recipe.model):
                    failed = _steps.make_bundle(
                        recipe, cache_key, pictures, folder, progress, all_or_nothing
                    )
                if not failed:  # the cause may be the machine, such as too little memory
                    cache.keep(cache_key, folder)
            if gate is not None and gate_pictures is not None:
                _gate.enforce_gate(gate, gate_pictures, folder, progress, all_or_nothing)
        group.broadcast("written")
    return loading.load_bundle(path)


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
            f"{recipe.model} cannot be described: {describe_fault(exc)}",
            "its numbers are too large: look at the weights",
        ) from exc
