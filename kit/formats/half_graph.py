"""Float16 graphs for converters that choose the precision themselves."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn
    from torch.fx import GraphModule
    from torch.fx.node import Argument


def restore_float(model: nn.Module) -> GraphModule | None:
    """Return a graph of `kit.quantize.half.cast_to_half` in float32, with the weights of float16.

    None for any other model.
    """
    import torch
    from torch import fx

    halves = (weight.dtype == torch.float16 for weight in model.state_dict().values())
    if not isinstance(model, fx.GraphModule) or not any(halves):
        return None
    restored = copy.deepcopy(model)

    def widen(value: Argument) -> Argument:
        return torch.float32 if value is torch.float16 else value

    for node in restored.graph.nodes:
        if node.op == "call_method" and node.target == "half":
            node.target = "float"  # of a float32 tensor it does nothing
        elif node.op in ("call_method", "call_function"):
            node.args = fx.node.map_aggregate(node.args, widen)
            node.kwargs = fx.node.map_aggregate(node.kwargs, widen)
    restored.float().recompile()
    return restored
