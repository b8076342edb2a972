"""Float16 graphs for converters that choose the precision themselves."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn
    from torch.fx import GraphModule


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
    for node in list(restored.graph.nodes):
        if node.op == "call_method" and node.target in ("half", "float"):
            node.replace_all_uses_with(node.all_input_nodes[0])
            restored.graph.erase_node(node)
    restored.float().recompile()
    return restored
