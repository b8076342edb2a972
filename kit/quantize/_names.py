"""Look up encodings of the canonical graph's tensors by the names of its nodes.

The canonical graph is the folded float model. Encodings are named after its nodes (see
`kit.quantize.nodes.name_node`); each flow matches nodes of its own graph to canonical nodes, by
structure and never by values.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from kit.encodings import Encodings
from kit.errors import BuildError
from kit.quantize.nodes import (
    as_node,
    get_module,
    is_clip,
    is_quantized_later,
    keeps_values,
    name_node,
)

if TYPE_CHECKING:
    from torch.fx import Graph, GraphModule, Node

# Operators that select, average or pad values: formats give their output their input's range.
# Listed by class for modules, and by name for functions and methods.
_SHARING = {
    *("AdaptiveAvgPool2d", "AdaptiveMaxPool2d", "AvgPool2d", "MaxPool2d", "Upsample", "ZeroPad2d"),
    *("adaptive_avg_pool2d", "adaptive_max_pool2d", "avg_pool2d", "boolean_dispatch", "max_pool2d"),
    *("max_pool2d_with_indices", "cat", "chunk", "concat", "expand", "interpolate", "mean", "pad"),
    *("repeat", "select", "slice", "split", "stack", "unbind"),
}
_SELECTING = {"getitem", "movedim", "select", "slice", "swapaxes", "t", "unsqueeze"}
_SCALING = {"add", "div", "mul", "neg", "sub", "truediv"}  # by a number
_SPLITTING = {"chunk", "split", "unbind"}
_RECTIFIERS = {"relu", "relu_", "relu6", "hardtanh", "hardtanh_"}


class TensorNames:
    """The encodings of each tensor of a canonical graph.

    Attributes:
        model: the canonical graph.
    """

    def __init__(self, model: GraphModule, encodings: Encodings) -> None:
        """Check the encodings of a graph.

        Raises:
            BuildError: one is for a tensor that the graph does not have.
        """
        self.model = model
        self._found: dict[Node, frozenset[str]] = {}
        self._known = {one.name for one in encodings.activations}
        nodes = {name_node(node) for node in model.graph.nodes}
        if strange := sorted(self._known - nodes):
            raise make_placement_error(strange[0], "the graph has no such tensor")

    def of(self, node: Node) -> frozenset[str]:
        """Return the names of the encodings that together cover a node's tensor; none if unknown.

        Operators that only move or average values share their input's encoding. A tensor that
        only feeds a clip has the clip's encoding, whose saturation has the same effect.
        """
        if node not in self._found:
            self._found[node] = self._look_up(node)
        return self._found[node]

    def _look_up(self, node: Node) -> frozenset[str]:
        name = name_node(node)
        if name in self._known:
            return frozenset({name})
        users = list(node.users)
        if len(users) == 1 and is_clip(users[0]):
            return self.of(users[0])
        if shares_range(node):
            return frozenset().union(*(self.of(source) for source in node.all_input_nodes))
        return frozenset()

    def check_placed(self, placed: Collection[str], kept: Collection[str]) -> None:
        """Check that the encodings of all int8 layers' inputs and outputs were placed.

        Args:
            placed: names of the encodings that were placed.
            kept: names of the layers that stay float.

        Raises:
            BuildError: names the first tensor.
        """
        for names in self._needed(kept):
            if names and names.isdisjoint(placed):
                raise make_placement_error(min(names), "the format does not quantize this tensor")

    def _needed(self, kept: Collection[str]) -> Iterator[frozenset[str]]:
        from torch import nn

        modules = dict(self.model.named_modules())
        for node in self.model.graph.nodes:
            layer = modules.get(node.target) if node.op == "call_module" else None
            if not isinstance(layer, nn.Conv2d | nn.Linear) or node.target in kept:
                continue
            yield self.of(node.args[0])
            users = list(node.users)
            fused = len(users) == 1 and name_operator(users[0]) in _RECTIFIERS
            yield self.of(node) | (self.of(users[0]) if fused else frozenset())


def make_placement_error(name: str, why: str) -> BuildError:
    """Return the error for an encoding that a flow cannot place."""
    return BuildError(
        f"the encoding of {name} finds no place: {why}",
        "encodings are named after the nodes of the folded model, as in a bundle's encodings.json",
    )


def owns_encoding(node: Node) -> bool:
    """Whether a tensor has an encoding of its own, rather than that of its input."""
    if not is_quantized_later(node):
        return False
    return is_output(node) or not shares_range(node)


def is_output(node: Node) -> bool:
    """Whether a node's values are those of the model's output."""
    last = node.graph.output_node().all_input_nodes[0]
    while last is not node and keeps_values(last) and last.all_input_nodes:
        last = last.all_input_nodes[0]
    return last is node


def find_answers(graph: Graph) -> frozenset[Node]:
    """Return the nodes whose values are the model's answers, moved, selected or scaled by a number.

    They are the output and its sources, up to the operator that computes the values: what clips
    one of them clips the answers.
    """
    found = [graph.output_node().all_input_nodes[0]]
    while (source := _find_source(found[-1])) is not None:
        found.append(source)
    return frozenset(found)


def _find_source(node: Node) -> Node | None:
    """Return the node whose values a node moves, selects or scales; None if it computes others."""
    if len(node.all_input_nodes) != 1:
        return None
    (source,) = node.all_input_nodes
    name = name_operator(node)
    is_divisor = name in ("div", "truediv") and node.args[:1] != (source,)
    passes = keeps_values(node) or name in _SELECTING | _SCALING
    computed = source.op in ("call_module", "call_function", "call_method")
    return source if passes and computed and not is_divisor else None


def shares_range(node: Node) -> bool:
    """Whether a node's output has its input's range: it moves, selects or averages values."""
    if keeps_values(node):
        return True
    name = name_operator(node)
    if name == "getitem":
        source = as_node(node.args[0])
        return name_operator(source) in _SPLITTING or is_quantized_later(source)
    if any(source.op == "get_attr" for source in node.all_input_nodes):
        return False
    fills = name == "pad" and bool(node.kwargs.get("value") or node.args[3:])
    return name in _SHARING and not fills


def name_operator(node: Node) -> str:
    """Return the class of a called module, or the name of a function, operator or method."""
    if node.op == "call_module":
        return type(get_module(node)).__name__
    target: object = node.target
    packet = getattr(target, "overloadpacket", target)
    return target if isinstance(target, str) else str(getattr(packet, "__name__", ""))
