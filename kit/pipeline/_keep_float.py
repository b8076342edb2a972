"""Which layers stay float, by name or as the N that int8 hurts most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.pipeline._work import Work

if TYPE_CHECKING:
    from torch.fx import GraphModule

    from kit.pipeline._work import Array


def choose(work: Work, folded: GraphModule, images: Array) -> None:
    """Resolve the recipe's `keep_float` against the layers of the folded model.

    Raises:
        UnknownName: there is no such layer; the near matches are named.
    """
    from kit.errors import UnknownName
    from kit.quantize._graph import layer_names

    wanted = work.recipe.keep_float
    if len(wanted) == 1 and wanted[0].isdigit():
        work.kept_float = _worst(work, folded, images, int(wanted[0]))
        return
    known = layer_names(folded)
    for name in wanted:
        if name not in known:
            raise UnknownName.among("convolution or linear layer", name, known)
    work.kept_float = wanted


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
