"""Which layers stay float, by name or as the N that int8 hurts most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.errors import UnknownName
from kit.pipeline._work import Work
from kit.recipe import Recipe

if TYPE_CHECKING:
    from torch.fx import GraphModule

    from kit.pipeline._work import Array


def check(recipe: Recipe, folded: GraphModule) -> None:
    """Look the named layers up, before anything takes long.

    Raises:
        UnknownName: there is no such layer; the near matches are named.
    """
    from kit.quantize._graph import layer_names

    known = layer_names(folded)
    for name in () if _count(recipe) is not None else recipe.keep_float:
        if name not in known:
            raise UnknownName.among("convolution or linear layer", name, known)


def choose(work: Work, folded: GraphModule, images: Array) -> None:
    """Take the named layers, or measure which ones int8 hurts most."""
    count = _count(work.recipe)
    named = work.recipe.keep_float
    work.kept_float = named if count is None else _worst(work, folded, images, count)


def _count(recipe: Recipe) -> int | None:
    """Return N if the recipe asks for the N worst layers."""
    wanted = recipe.keep_float
    return int(wanted[0]) if len(wanted) == 1 and wanted[0].isdigit() else None


def _worst(work: Work, folded: GraphModule, images: Array, count: int) -> tuple[str, ...]:
    import torch

    from kit.analysis import sensitivity

    recipe = work.recipe
    work.progress(f"looking for the {count} layers that int8 hurts most")
    found = sensitivity.measure(
        folded, torch.from_numpy(images), recipe.granularity, recipe.observer
    )
    ranked = sorted(found, key=lambda layer: layer.sqnr_db)
    return tuple(layer.name for layer in ranked[:count])
