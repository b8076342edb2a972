"""Match nodes of a flow's graph to nodes of the canonical graph.

`torch.export` keeps the names in each node's meta; `prepare_fx` retraces and drops them, so both
graphs are walked from their outputs. Both ways match by structure.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from kit.errors import BuildError
from kit.network import export_program
from kit.quantize._names import TensorNames, name_operator
from kit.quantize._place import is_observer, observes
from kit.quantize.nodes import as_node, get_module, name_node
from kit.varying import Varying

if TYPE_CHECKING:
    from torch.fx import GraphModule, Node
    from torch.fx.node import Argument

    from kit.quantize.examples import Call

TENSOR = "tensor"  # key of the canonical name in a node's meta["custom"], which torch preserves
_MOVING = {
    *("alias", "clone", "contiguous", "expand", "flatten", "pad", "permute", "repeat", "reshape"),
    *("slice", "squeeze", "to", "transpose", "unsqueeze", "view"),
}


def export(model: GraphModule, example: Call, varying: Varying = ()) -> GraphModule:
    """Return the exported graph, with the canonical names in its nodes' meta.

    Args:
        model: the canonical graph.
        example: arguments of one inference.
        varying: dimensions of inputs that may vary.
    """
    for node in model.graph.nodes:
        node.meta["custom"] = {TENSOR: name_node(node)}
    try:
        program: GraphModule = export_program(model, example, varying).module()
    finally:
        for node in model.graph.nodes:
            del node.meta["custom"]
    inputs = (_placeholders(graph) for graph in (program, model))
    for node, canonical in zip(*inputs, strict=True):  # export makes new placeholders
        node.meta["custom"] = {TENSOR: name_node(canonical)}
    return program


def _placeholders(graph: GraphModule) -> list[Node]:
    return [node for node in graph.graph.nodes if node.op == "placeholder"]


class Exported:
    """The encodings of an exported graph's tensors.

    One operator of the canonical graph may become several; the last one outputs its tensor.
    """

    def __init__(self, names: TensorNames) -> None:
        self._names = names
        self._nodes: dict[str, Node] = {name_node(node): node for node in names.model.graph.nodes}

    def names_of(self, node: Node) -> frozenset[str]:
        """Return the names of the encodings that hold a node's tensor; none if there are none."""
        if _observes(node):
            return self.names_of(node.all_input_nodes[0])
        if self._is_within(node):
            moves = name_operator(node) in _MOVING
            return self.names_of(node.all_input_nodes[0]) if moves else frozenset()
        canonical = self._canonical(node)
        return frozenset() if canonical is None else self._names.of(canonical)

    def is_of(self, node: Node, names: Collection[str]) -> bool:
        """Whether a node belongs to one of some operators of the canonical graph."""
        return get_name(node) in names

    def is_inside(self, node: Node) -> bool:
        """Whether a node reads or writes an intermediate tensor of a canonical operator."""
        return any(
            self._is_within(one) and not self.names_of(one) for one in (node, *_sources(node))
        )

    def _is_within(self, node: Node) -> bool:
        name = get_name(node)
        return name is not None and any(get_name(user) == name for user in _users(node))

    def _canonical(self, node: Node) -> Node | None:
        name = get_name(node)
        canonical = self._nodes.get(name) if name is not None else None
        if (
            canonical is None
            or name_operator(node) != "getitem"
            or name_operator(canonical) == "getitem"
        ):
            return canonical
        # The items of a tuple have the name of the operator that makes the tuple.
        parts = (user for user in canonical.users if user.args[1:] == node.args[1:])
        return next(parts, canonical)


def get_name(node: Node) -> str | None:
    """Return the name of the canonical operator that a node of an exported graph belongs to."""
    name: str | None = (node.meta.get("custom") or {}).get(TENSOR)
    return name


def forget_names(graph: GraphModule) -> None:
    """Remove the names from an exported graph, because exporters write nodes' meta to files."""
    for node in graph.graph.nodes:
        node.meta.pop("custom", None)


def _observes(node: Node) -> bool:
    return node.op == "call_module" and observes(get_module(node))


def _users(node: Node) -> list[Node]:
    """Return the nodes that use a node's tensor, without observers."""
    users = []
    for user in node.users:
        users += _users(user) if _observes(user) else [user]
    return [n for n in users if name_operator(n) not in ("getitem", "_assert_tensor_metadata")]


def _sources(node: Node) -> list[Node]:
    return [source for source in node.all_input_nodes if source.op != "get_attr"]


def match_nodes(prepared: GraphModule, model: GraphModule) -> dict[Node, Node]:
    """Return the canonical node of every node of torch.ao's prepared graph.

    Args:
        prepared: the graph with observers; convolution and ReLU are one module in it.
        model: the canonical graph.

    Raises:
        BuildError: the graphs differ.
    """
    matches: dict[Node, Node] = {}
    last = prepared.graph.output_node().args[0], model.graph.output_node().args[0]
    waiting = list(zip(_nodes(last[0]), _nodes(last[1]), strict=True))
    while waiting:
        node, canonical = waiting.pop()
        while is_observer(prepared, node):
            node = as_node(node.args[0])
        if node in matches:
            continue
        matches[node] = canonical
        source = _first_of(prepared, node, canonical)
        same = node.op == source.op and (
            node.op != "call_module" or str(node.target) == str(source.target)
        )
        inputs = _nodes((node.args, node.kwargs)), _nodes((source.args, source.kwargs))
        if not same or len(inputs[0]) != len(inputs[1]):
            raise BuildError(
                f"torch.ao's graph has {node.name} where the model has {name_node(canonical)}",
                "leave out the formats lite and torchscript",
            )
        waiting += zip(*inputs, strict=True)
    return matches


def _first_of(prepared: GraphModule, node: Node, canonical: Node) -> Node:
    """Return the canonical layer if a node is that layer fused with a clip, else the node's."""
    from torch.ao.nn.intrinsic.modules.fused import _FusedModule

    if node.op != "call_module":
        return canonical
    fused = isinstance(prepared.get_submodule(str(node.target)), _FusedModule)
    return as_node(canonical.args[0]) if fused else canonical


def _nodes(value: Argument) -> list[Node]:
    """Return the nodes in the arguments of a node, in order, with duplicates."""
    from torch import fx

    nodes: list[Node] = []

    def note(node: Node) -> Node:
        nodes.append(node)
        return node

    fx.node.map_arg(value, note)
    return nodes
