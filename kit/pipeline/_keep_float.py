"""Choose the layers that stay float: by name, or the N most sensitive ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.errors import UnknownName
from kit.pipeline.build_state import Preparation
from kit.recipe import Recipe

if TYPE_CHECKING:
    from torch.fx import GraphModule

    from kit.quantize.examples import Examples


def check(recipe: Recipe, folded: GraphModule) -> None:
    """Check the names of the layers, before anything that takes long.

    Raises:
        UnknownName: there is no such layer; the message has close matches.
    """
    from kit.quantize.graph import layer_names

    layers = layer_names(folded)
    for name in recipe.keep_float if recipe.keep_worst is None else ():
        if name not in layers:
            raise UnknownName.among("convolution or linear layer", name, layers)


def worst(
    work: Preparation, corrected: GraphModule, examples: Examples, count: int
) -> tuple[str, ...]:
    """Return the layers whose quantization lowers SQNR most, measured one at a time.

    Args:
        work: receives progress.
        corrected: the folded float model after its corrections.
        examples: for calibration.
        count: number of layers.
    """
    from kit.analysis import sensitivity

    recipe = work.recipe
    work.progress(f"looking for the {count} layers that int8 hurts most")
    layers = sensitivity.measure(
        corrected, examples.tensors[0], recipe.granularity, recipe.observer
    )
    ranked = sorted(layers, key=lambda layer: layer.sqnr_db)
    return tuple(layer.name for layer in ranked[:count])
