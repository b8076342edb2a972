"""Check the layers that stay float, which are named, or choose the N most sensitive ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.errors import RecipeError, UnknownName
from kit.pipeline.build_state import Preparation
from kit.recipe import Recipe

if TYPE_CHECKING:
    from torch.fx import GraphModule

    from kit.quantize.examples import Examples


def check(recipe: Recipe, folded: GraphModule) -> None:
    """Check names and number of the layers, before anything that takes long.

    Raises:
        UnknownName: there is no such layer; the message has close matches.
        RecipeError: the number is that of all layers, or more.
    """
    from kit.quantize.nodes import list_layer_names, list_operation_names

    if recipe.keeps_automatically:
        return
    layers = list_layer_names(folded)
    if recipe.keep_worst is not None and recipe.keep_worst >= len(layers) > 0:
        raise RecipeError(
            f"keep_float = {recipe.keep_worst} leaves none of the model's {len(layers)} layers "
            "in int8",
            "use a smaller number, or --quantize none for a float bundle",
        )
    known = (*layers, *list_operation_names(folded))
    for name in recipe.keep_float if recipe.keep_worst is None else ():
        if name not in known:
            raise UnknownName.among("convolution or linear layer", name, known)


def find_worst(
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
