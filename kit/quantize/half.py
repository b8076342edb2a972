"""Cast a float graph to float16, with float32 at its inputs and outputs."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kit.signature import TensorSpec

if TYPE_CHECKING:
    from torch.fx import GraphModule

WORDS = {"weights": "float16", "activations": "float16; float32 at inputs and outputs"}


def cast_to_half(model: GraphModule, inputs: Sequence[TensorSpec]) -> GraphModule:
    """Return a copy whose weights and arithmetic are float16.

    Its signature stays: inputs of float32 are cast as they come in, and outputs as they leave,
    so that an application need not know the precision.

    Args:
        model: in float32.
        inputs: of the model, in order; those of other dtypes are left alone.
    """
    from torch import fx

    half = copy.deepcopy(model).half()
    graph = half.graph
    placeholders = [node for node in graph.nodes if node.op == "placeholder"]
    for node, spec in zip(placeholders, inputs, strict=True):
        if spec.dtype == "float32":
            with graph.inserting_after(node):
                cast = graph.call_method("half", (node,))
            node.replace_all_uses_with(cast, lambda user, cast=cast: user is not cast)
    output = graph.output_node()
    with graph.inserting_before(output):
        output.args = fx.node.map_arg(output.args, lambda node: graph.call_method("float", (node,)))
    half.recompile()
    return half
