"""Questions about the nodes and layers of a folded graph."""

from __future__ import annotations

import operator
from collections.abc import Container
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn
    from torch.fx import GraphModule, Node


REPEATED = "kit_repeated"  # attribute of a layer that shares the weights of an earlier one
NOT_FLOAT = "kit: not a float tensor"  # key in the meta of a node whose value is another type
NodeValue = Any  # the value of a node: a tensor, a number or nested containers of these


def list_layer_names(folded: GraphModule) -> tuple[str, ...]:
    """Return the names of the convolutions and linear layers, in the order of the graph."""
    from torch import nn

    modules = dict(folded.named_modules())
    called = (str(node.target) for node in folded.graph.nodes if node.op == "call_module")
    return tuple(dict.fromkeys(n for n in called if isinstance(modules[n], nn.Conv2d | nn.Linear)))


def list_operation_names(folded: GraphModule) -> tuple[str, ...]:
    """Return the names of the sums and products of two tensors, in the order of the graph.

    Like layers, all formats compute them in int8, and can keep each of them in float. Other
    convolutions than layers are not among them: ExecuTorch cannot lower a `Conv1d` in float between
    int8 operations.
    """
    return tuple(name_node(node) for node in folded.graph.nodes if _is_operation(node))


def _is_operation(node: Node) -> bool:
    import torch
    from torch import fx

    known = (operator.add, operator.mul, operator.iadd, operator.imul, torch.add, torch.mul)
    if node.op != "call_function" or node.target not in known or len(node.args) != 2:
        return False
    return all(isinstance(one, fx.Node) and NOT_FLOAT not in one.meta for one in node.args)


def name_node(node: Node) -> str:
    """Return the name of the called module, or the node's name if it calls none."""
    return str(node.target if node.op == "call_module" else node.name)


def choose_free_name(base: str, taken: Container[str], first: int = 1) -> str:
    """Return a name that is not taken: the base itself, or `base_N` with N from `first` on."""
    name, number = base, first
    while name in taken:
        name, number = f"{base}_{number}", number + 1
    return name


def list_member_names(graph: GraphModule) -> set[str]:
    """Return the dotted names of a graph's modules, parameters and buffers."""
    names = {name for name, _ in graph.named_modules(remove_duplicate=False)}
    names |= {name for name, _ in graph.named_parameters(remove_duplicate=False)}
    return names | {name for name, _ in graph.named_buffers(remove_duplicate=False)}


def as_node(argument: object) -> Node:
    """Return an argument of a node that is itself a node, as tensors always are."""
    from torch import fx

    assert isinstance(argument, fx.Node)
    return argument


def as_number(argument: object) -> float:
    """Return an argument of a node that is a number."""
    assert isinstance(argument, int | float)
    return float(argument)


def get_module(node: Node) -> nn.Module:
    """Return the module that a node calls."""
    owner = node.graph.owning_module
    assert owner is not None
    return owner.get_submodule(str(node.target))


def get_layer(folded: GraphModule, name: str) -> nn.Conv2d | nn.Linear:
    """Return the convolution or linear layer of a name."""
    from torch import nn

    layer = folded.get_submodule(name)
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    return layer


def is_repeated(node: Node) -> bool:
    """Whether a node calls a layer with the weights of an earlier one."""
    if node.op != "call_module":
        return False
    return hasattr(get_module(node), REPEATED)


def is_quantized_later(node: Node) -> bool:
    """Whether a tensor has its own range; one that only feeds a clip has none."""
    if node.op not in ("placeholder", "call_module", "call_function", "call_method"):
        return False
    if NOT_FLOAT in node.meta:
        return False
    users = list(node.users)
    if len(users) == 1 and is_clip(users[0]):
        return False
    return not keeps_values(node)


def keeps_values(node: Node) -> bool:
    """Whether a node only reshapes or reorders its input's values."""
    from torch import nn

    if node.op == "call_module":
        module = get_module(node)
        return isinstance(module, nn.Flatten | nn.Identity | nn.Dropout)
    target: object = node.target
    name = target if isinstance(target, str) else getattr(target, "__name__", "")
    return name in ("flatten", "reshape", "view", "permute", "transpose", "contiguous", "squeeze")


def is_clip(node: Node) -> bool:
    """Whether a node calls a ReLU or another clip."""
    from torch import nn

    if node.op != "call_module":
        return False
    module = get_module(node)
    return isinstance(module, nn.ReLU | nn.Hardtanh)


def get_clip_bound(node: Node) -> float:
    """Return the upper bound of a ReLU6 or another clip; infinity for other nodes."""
    from torch import nn

    if node.op != "call_module":
        return float("inf")
    module = get_module(node)
    return float(module.max_val) if isinstance(module, nn.Hardtanh) else float("inf")
