"""Find the quantized tensors of a graph, and those that stay int8 with layers in float.

This models the formats: a layer that is kept in float reads and writes float, yet a tensor stays
int8 while its producer or one of its consumers computes in int8. So one layer in float gains its
weights only; a tensor becomes float when all layers around it are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kit.quantize.nodes import is_quantized_later, layer_names, node_name

if TYPE_CHECKING:
    from torch.fx import GraphModule, Node

INPUT, ADDITION, OPERATION = "input", "addition", "operation"


@dataclass(frozen=True)
class Point:
    """A quantized tensor.

    Attributes:
        name: of the layer or operation whose output it is, as the simulation names it; of a
            convolution with a clip, such as ReLU6, it is the clip's.
        maker: the layer that computes it; None for the input and for other operations.
        kind: ``input``, ``addition`` or ``operation`` if no layer computes it, else empty.
        readers: names of the layers and operations that consume it.
    """

    name: str
    maker: str | None
    kind: str
    readers: tuple[str, ...]

    @property
    def around(self) -> frozenset[str]:
        """The layers and operations that must all be float to make this tensor float."""
        makers = {self.maker or self.name} if self.kind != INPUT else set()
        return frozenset(makers | set(self.readers))


def points(folded: GraphModule) -> tuple[Point, ...]:
    """Return the quantized tensors of a folded float model, in order."""
    layers = frozenset(layer_names(folded))
    nodes = [node for node in folded.graph.nodes if is_quantized_later(node)]
    return tuple(_point(node, layers) for node in nodes)


def _point(node: Node, layers: frozenset[str]) -> Point:
    maker = _maker(node, layers)
    readers = tuple(dict.fromkeys(_readers(node, layers)))
    return Point(node_name(node), maker, "" if maker else _kind(node), readers)


def _maker(node: Node, layers: frozenset[str]) -> str | None:
    """Return the layer that computes a tensor: the node itself, or the one that it clips."""
    if node_name(node) in layers:
        return node_name(node)
    for source in node.all_input_nodes:
        if node_name(source) in layers and not is_quantized_later(source):
            return node_name(source)
    return None


def _readers(node: Node, layers: frozenset[str]) -> Iterator[str]:
    """Yield the consumers of a tensor, skipping operators that only move it, such as flatten."""
    for user in node.users:
        if user.op == "output":
            continue
        if node_name(user) in layers or is_quantized_later(user):
            yield node_name(user)
        else:
            yield from _readers(user, layers)


def _kind(node: Node) -> str:
    if node.op == "placeholder":
        return INPUT
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return ADDITION if name.strip("_") in ("add", "iadd") else OPERATION


def in_int8(tensors: Collection[Point], kept: Collection[str]) -> frozenset[str]:
    """Return the names of the tensors that stay int8 while some layers are kept in float."""
    return frozenset(point.name for point in tensors if point.around - set(kept))
