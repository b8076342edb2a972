"""Put the sizes of one call into a graph as numbers, before it is traced.

In a trace a size is a tensor, which operators that take a number, such as `torch.arange`, refuse.
The sizes of a file are fixed by its signature, so that nothing is lost. Where they vary, they stay
tensors (`keep_sizes`).
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.fx import Node


def fix_sizes(model: nn.Module, example: tuple[Tensor, ...]) -> nn.Module:
    """Return a graph in which integers that depend on shapes are constants.

    The model itself is returned if it has none, or is a module without a graph.

    Args:
        model: float or quantized.
        example: one call's inputs.
    """
    from torch import fx

    if not isinstance(model, fx.GraphModule):
        return model
    sizes: dict[Node, int] = {}

    class Recording(fx.Interpreter):
        def run_node(self, n: Node) -> object:
            value: object = super().run_node(n)
            if isinstance(value, int) and n.op in ("call_function", "call_method"):
                sizes[n] = int(value)
            return value

    Recording(model).run(*example)
    if not sizes:
        return model
    graph = fx.Graph()
    made: dict[Node, Node | int] = {**sizes}
    for node in model.graph.nodes:
        if node not in sizes:
            made[node] = graph.node_copy(node, made.__getitem__)
    fixed = fx.GraphModule(model, graph, type(model).__name__)
    fixed.meta.update(model.meta)
    fixed.graph.eliminate_dead_code()
    fixed.recompile()
    return fixed.eval()


def keep_sizes(model: nn.Module) -> nn.Module:
    """Return a graph whose slices up to a size of the input a trace follows.

    A trace holds sizes in tensors, which ``aten.slice`` turns into numbers, and Python's own slices
    do not. The model itself is returned if it has no such slice, or is a module without a graph.

    Args:
        model: float or quantized.
    """
    import torch
    from torch import fx

    def has_sizes(node: Node) -> bool:
        ends = node.args[2:4]
        return node.target is torch.ops.aten.slice.Tensor and any(
            isinstance(one, fx.Node) for one in ends
        )

    if not isinstance(model, fx.GraphModule) or not any(map(has_sizes, model.graph.nodes)):
        return model
    graph = fx.Graph()
    made: dict[Node, Node] = {}
    for node in model.graph.nodes:
        made[node] = copied = graph.node_copy(node, made.__getitem__)
        axis = copied.args[1] if len(copied.args) > 1 else 0
        if has_sizes(node) and isinstance(axis, int) and axis >= 0:
            part = slice(*copied.args[2:5])
            copied.target = operator.getitem
            copied.args = (copied.args[0], (*[slice(None)] * axis, part))
    kept = fx.GraphModule(model, graph, type(model).__name__)
    kept.meta.update(model.meta)
    return kept.eval()
