"""Prepare a Q/DQ graph for LiteRT's converter, and list the encodings that it must place.

The converter reads scales and zero points off quantize operators only. PT2E has folded those of
weights and other constants into int8 values: they become float values with a quantize operator
again, which gives the same int8 values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule, Node


NodeArgument = Any  # a node, a constant, or a member of a graph by its name


@dataclass(frozen=True)
class ActivationEncoding:
    """Scale and zero point of a tensor that is computed."""

    name: str
    scale: np.float32
    zero_point: int


@dataclass(frozen=True)
class ConstantEncoding:
    """Int8 values of a constant, and the scales of one or of all its channels."""

    name: str
    values: NDArray[np.int8]
    scales: NDArray[np.float32]


@dataclass(frozen=True)
class GraphEncodings:
    """All encodings of a Q/DQ graph; both empty for a float graph."""

    activations: tuple[ActivationEncoding, ...]
    constants: tuple[ConstantEncoding, ...]


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
    activations: dict[tuple[float, int], ActivationEncoding] = {}
    constants: list[ConstantEncoding] = []
    for node in list(graph.graph.nodes):
        if node.target is decomposed.quantize_per_tensor.default:
            scale, zero = np.float32(node.args[1]), int(node.args[2])
            name = _name_tensor(node.args[0])
            activations.setdefault((float(scale), zero), ActivationEncoding(name, scale, zero))
        elif node.target in quantizers and node.args[0].op == "get_attr":
            constants.append(_unfold(graph, node, quantizers[node.target]))
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return GraphEncodings(tuple(activations.values()), tuple(constants))


def _unfold(graph: GraphModule, node: Node, quantizer: Callable[..., Tensor]) -> ConstantEncoding:
    name, encoding = dequantize_constant(graph, node)
    with graph.graph.inserting_before(node):
        value = graph.graph.get_attr(name)
        quantized = graph.graph.call_function(quantizer, (value, *node.args[1:]))
    node.args = (quantized, *node.args[1:])
    return encoding


def dequantize_constant(graph: GraphModule, node: Node) -> tuple[str, ConstantEncoding]:
    """Add the float values of an int8 constant to a graph; return their name, and its encoding.

    Args:
        graph: gets a buffer.
        node: that dequantizes the constant.
    """
    # The types of a node's arguments are known from its operator's schema only.
    dequantize = cast("Callable[..., Tensor]", node.target)
    constant = cast("Node", node.args[0])
    arguments = [_read(graph, value) for value in node.args]
    stored, scales = arguments[0], np.atleast_1d(np.asarray(arguments[1], np.float32))
    name = f"{constant.target}_float"
    owner, _, attribute = name.rpartition(".")
    graph.get_submodule(owner).register_buffer(attribute, dequantize(*arguments))
    return name, ConstantEncoding(_name_users(node), stored.numpy(), scales)


def _read(graph: GraphModule, value: NodeArgument) -> NodeArgument:
    """Return an argument of a node, a constant's value for the constant."""
    if getattr(value, "op", None) != "get_attr":
        return value
    member: NodeArgument = graph
    for part in str(value.target).split("."):
        member = getattr(member, part)
    return member


def _name_tensor(node: Node) -> str:
    return str(node.meta.get("custom", {}).get("tensor") or node.name)


def _name_users(node: Node) -> str:
    """Return whose constant it is: constants of PT2E have no names of their own."""
    users = ", ".join(_name_tensor(user) for user in node.users)
    return f"the constant of {users}"
