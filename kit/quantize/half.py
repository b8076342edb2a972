"""Cast a float graph to float16, with float32 at its inputs and outputs."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kit.signature import TensorSpec

if TYPE_CHECKING:
    from torch.fx import GraphModule
    from torch.fx.node import Argument

WORDS = {"weights": "float16", "activations": "float16; float32 at inputs and outputs"}


def cast_to_half(
    model: GraphModule, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> GraphModule:
    """Return a copy whose weights and arithmetic are float16.

    Its signature stays: inputs of float32 are cast as they come in, and outputs as they leave,
    so that an application need not know the precision. The model's own casts to float32 become
    casts to float16.

    Args:
        model: in float32.
        inputs: of the model, in order; those of other dtypes are left alone.
        outputs: of the model, in order, likewise.
    """
    from torch import fx

    half = copy.deepcopy(model).half()
    graph = half.graph
    _retarget_casts(half)
    placeholders = [node for node in graph.nodes if node.op == "placeholder"]
    for node, spec in zip(placeholders, inputs, strict=True):
        if spec.dtype == "float32":
            with graph.inserting_after(node):
                cast = graph.call_method("half", (node,))
            node.replace_all_uses_with(cast, lambda user, cast=cast: user is not cast)
    output, specs = graph.output_node(), iter(outputs)

    def cast_output(node: fx.Node) -> fx.Node:
        return graph.call_method("float", (node,)) if next(specs).dtype == "float32" else node

    with graph.inserting_before(output):
        output.args = fx.node.map_arg(output.args, cast_output)
    half.recompile()
    return half


def _retarget_casts(model: GraphModule) -> None:
    """Turn casts to float32 into casts to float16."""
    import torch
    from torch import fx

    def halve(value: Argument) -> Argument:
        return torch.float16 if value is torch.float32 else value

    for node in model.graph.nodes:
        if node.op == "call_method" and node.target == "float":
            node.target = "half"
        elif node.op in ("call_method", "call_function"):
            node.args = fx.node.map_aggregate(node.args, halve)
            node.kwargs = fx.node.map_aggregate(node.kwargs, halve)
