"""Prepare a Q/DQ graph for LiteRT's converter, and list the encodings that it must place.

The converter reads scales and zero points off quantize operators only. PT2E has folded those of
weights and other constants into int8 values: they become float values with a quantize operator
again, which gives the same int8 values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from kit.formats.graph_encodings import (
    ConstantEncoding,
    GraphEncodings,
    list_constants,
    list_encodings,
    read_argument,
    read_constant,
)

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule, Node


def unfold_constants(graph: GraphModule) -> GraphEncodings:
    """Replace int8 constants by float ones with a quantize operator, and return all encodings.

    Args:
        graph: is changed.
    """
    import torch

    decomposed = torch.ops.quantized_decomposed
    quantizers: dict[object, Callable[..., Tensor]] = {
        decomposed.dequantize_per_channel.default: decomposed.quantize_per_channel.default,
        decomposed.dequantize_per_tensor.default: decomposed.quantize_per_tensor.default,
    }
    encodings = list_encodings(graph)
    for node in list_constants(graph):
        _unfold(graph, node, quantizers[node.target])
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return encodings


def _unfold(graph: GraphModule, node: Node, quantizer: Callable[..., Tensor]) -> None:
    name, _ = dequantize_constant(graph, node)
    with graph.graph.inserting_before(node):
        value = graph.graph.get_attr(name)
        quantized = graph.graph.call_function(quantizer, (value, *node.args[1:]))
    node.args = (quantized, *node.args[1:])


def dequantize_constant(graph: GraphModule, node: Node) -> tuple[str, ConstantEncoding]:
    """Add the float values of an int8 constant to a graph; return their name, and its encoding.

    Args:
        graph: gets a buffer.
        node: that dequantizes the constant.
    """
    # The types of a node's arguments are known from its operator's schema only.
    dequantize = cast("Callable[..., Tensor]", node.target)
    constant = cast("Node", node.args[0])
    name = f"{constant.target}_float"
    owner, _, attribute = name.rpartition(".")
    value = dequantize(*(read_argument(graph, argument) for argument in node.args))
    graph.get_submodule(owner).register_buffer(attribute, value)
    return name, read_constant(graph, node)
