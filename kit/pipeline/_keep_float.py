"""Which layers stay float, by name or as the N that int8 hurts most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.errors import UnknownName
from kit.pipeline._work import Preparation
from kit.recipe import Recipe

if TYPE_CHECKING:
    from torch.fx import GraphModule

    from kit.quantize.examples import Examples


def check(recipe: Recipe, folded: GraphModule) -> None:
    """Look the named layers up, before anything takes long.

    Raises:
        UnknownName: there is no such layer; the near matches are named.
    """
    from kit.quantize.graph import layer_names

    known = layer_names(folded)
    for name in recipe.keep_float if recipe.keep_worst is None else ():
        if name not in known:
            raise UnknownName.among("convolution or linear layer", name, known)


def worst(
    work: Preparation, corrected: GraphModule, examples: Examples, count: int
) -> tuple[str, ...]:
    """Measure which layers int8 hurts most, one at a time.

    Args:
        work: is told the stage.
        corrected: the folded float model after its corrections.
        examples: that calibrate.
        count: how many layers.
    """
    from kit.analysis import sensitivity

    recipe = work.recipe
    work.progress(f"looking for the {count} layers that int8 hurts most")
    found = sensitivity.measure(corrected, examples.tensors[0], recipe.granularity, recipe.observer)
    ranked = sorted(found, key=lambda layer: layer.sqnr_db)
    return tuple(layer.name for layer in ranked[:count])
