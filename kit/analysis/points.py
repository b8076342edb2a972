"""Find the quantized tensors of a graph, and those that stay int8 with layers in float.

This models the formats: a layer that is kept in float reads and writes float, yet a tensor stays
int8 while its producer or one of its consumers computes in int8. So one layer in float gains its
weights only; a tensor becomes float when all layers and operations around it are. Operations that
no format computes in int8, such as a square root, count as float.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kit.quantize.nodes import (
    get_module,
    is_clip,
    is_quantized_later,
    keeps_values,
    list_layer_names,
    name_node,
)

if TYPE_CHECKING:
    from torch.fx import GraphModule, Node

INPUT, ADDITION, OPERATION = "input", "addition", "operation"
# Operators by function, method or class: their output has values of their input.
_SELECTING = {
    *("getitem", "slice", "select", "split", "chunk", "unbind", "unsqueeze", "expand", "repeat"),
    *("pad", "ZeroPad2d", "ReflectionPad2d"),
}
_RECTIFIERS = {"relu", "relu_", "relu6", "hardtanh", "hardtanh_"}  # computed with what is before
_FLOAT = {
    *("sqrt", "rsqrt", "pow", "square", "exp", "log", "log1p", "div", "truediv", "reciprocal"),
    *("layer_norm", "LayerNorm", "group_norm", "GroupNorm", "gelu", "GELU", "silu", "SiLU", "erf"),
    *("scaled_dot_product_attention", "LSTM", "LSTMCell", "GRU", "GRUCell", "PReLU", "sin", "cos"),
}


@dataclass(frozen=True)
class Point:
    """A quantized tensor.

    Attributes:
        name: of the layer or operation whose output it is, as the simulation names it; of a
            convolution with a clip, such as ReLU6, it is the clip's.
        maker: the layer that computes it; None for the input and for other operations.
        kind: ``input``, ``addition`` or ``operation`` if no layer computes it, else empty.
        readers: names of the layers and operations that consume it in int8.
        source: the layer or operation that computes its values in int8; None if none does.
    """

    name: str
    maker: str | None
    kind: str
    readers: tuple[str, ...]
    source: str | None

    @property
    def around(self) -> frozenset[str]:
        """The layers and operations that must all be float to make this tensor float."""
        return frozenset({*self.readers, *(() if self.source is None else (self.source,))})


def list_points(folded: GraphModule) -> tuple[Point, ...]:
    """Return the quantized tensors of a folded float model, in order."""
    layers = frozenset(list_layer_names(folded))
    nodes = [node for node in folded.graph.nodes if is_quantized_later(node)]
    return tuple(_point(node, layers) for node in nodes)


def _point(node: Node, layers: frozenset[str]) -> Point:
    maker = _maker(node, layers)
    readers = tuple(dict.fromkeys(_readers(node, layers)))
    return Point(name_node(node), maker, "" if maker else _kind(node), readers, _source(node))


def _maker(node: Node, layers: frozenset[str]) -> str | None:
    """Return the layer that computes a tensor: the node itself, or the one that it clips."""
    if name_node(node) in layers:
        return name_node(node)
    for source in node.all_input_nodes:
        if name_node(source) in layers and not is_quantized_later(source):
            return name_node(source)
    return None


def _source(node: Node) -> str | None:
    while node.op != "placeholder" and _keeps_values(node):
        node = node.all_input_nodes[0]
    return None if node.op == "placeholder" or _operator(node) in _FLOAT else name_node(node)


def _keeps_values(node: Node) -> bool:
    """Whether a node moves, selects or clips values of its only input."""
    kept = keeps_values(node) or is_clip(node) or _operator(node) in _SELECTING | _RECTIFIERS
    return kept and len(node.all_input_nodes) > 0


def _readers(node: Node, layers: frozenset[str]) -> Iterator[str]:
    """Yield the consumers of a tensor, skipping operators that only move it, such as flatten.

    A rectifier is computed in int8 only with what is before it, so it is no consumer.
    """
    for user in node.users:
        name = _operator(user)
        if user.op == "output" or name in _FLOAT or name in _RECTIFIERS:
            continue
        if name not in _SELECTING and (name_node(user) in layers or is_quantized_later(user)):
            yield name_node(user)
        else:
            yield from _readers(user, layers)


def _operator(node: Node) -> str:
    """Return the class of a called module, or the name of a function or method."""
    if node.op == "call_module":
        return type(get_module(node)).__name__
    target: object = node.target
    packet = getattr(target, "overloadpacket", target)
    return target if isinstance(target, str) else str(getattr(packet, "__name__", ""))


def _kind(node: Node) -> str:
    if node.op == "placeholder":
        return INPUT
    return ADDITION if _operator(node).strip("_") in ("add", "iadd") else OPERATION


def select_int8(tensors: Collection[Point], kept: Collection[str]) -> frozenset[str]:
    """Return the names of the tensors that stay int8 while some layers are kept in float."""
    return frozenset(point.name for point in tensors if point.around - set(kept))
