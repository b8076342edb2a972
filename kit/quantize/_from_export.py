"""Convert a `torch.export` graph to modules, for models that `torch.fx` cannot trace completely.

Symbolic tracing fails on control flow that depends on shapes, and does not trace functional
layers (`F.conv2d` with a parameter) and closed modules (`nn.MultiheadAttention`), which then
could neither be folded nor corrected. The exported program has all of them as operators. Here
operators with weights become modules, those that quantizers recognize by their Python function
become that function, and all others stay: they compute in float between two conversions.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from kit.quantize.exporting import export_graph, name_operator
from kit.quantize.nodes import REPEATED, NodeValue, as_node, as_number, choose_free_name

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.fx import GraphModule, Node
    from torch.nn.modules.batchnorm import _BatchNorm

    from kit.quantize.examples import Examples

# The graph has no in-place operators, so copies and aliases are not needed.
_IDENTITY = {"clone", "alias", "detach", "detach_", "dropout", "contiguous", "lift_fresh_copy"}
_ASSERTS = re.compile(r"_guards_fn|assert")
_ACTIVATIONS = {  # the remaining arguments of the operator are those of the module, in order
    "relu": "ReLU",
    "relu6": "ReLU6",
    "hardtanh": "Hardtanh",
    "hardswish": "Hardswish",
    "hardsigmoid": "Hardsigmoid",
    "leaky_relu": "LeakyReLU",
    "silu": "SiLU",
}
# Operators that quantizers, and `kit.quantize.graph`, recognize by their Python function.
_TORCH = {
    **{n: n for n in ("cat", "flatten", "mean", "mul", "permute", "reshape", "sigmoid", "split")},
    **{n: n for n in ("squeeze", "tanh", "transpose", "unsqueeze", "add", "sub")},
    # The output of a quantized operator may not be viewable; reshape gives the same values.
    **dict.fromkeys(("view", "_unsafe_view"), "reshape"),
}
_FUNCTIONAL = ("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d")


def translate_model(model: nn.Module, examples: Examples) -> GraphModule:
    """Return a graph of modules and Python functions that is equivalent to the model.

    Args:
        model: in eval mode; its weights are copied.
        examples: of its inputs.

    Raises:
        BuildError: `torch.export` cannot follow the model.
    """
    source, alone = export_graph(model, examples)
    return _Translation(source).done(type(model).__name__, alone)


class _Translation:
    """Translation of an exported graph to one of modules, node by node.

    Attributes:
        constants: computed values that do not depend on inputs, such as a slice of a weight.
        attributes: layers, and constants that operators use, by name in the new graph.
    """

    def __init__(self, source: GraphModule) -> None:
        from torch import fx

        self.source = source
        self.made = fx.Graph()
        self.env: dict[Node, Node] = {}
        self.constants: dict[Node, NodeValue] = {}
        self.attributes: dict[str, NodeValue] = {}
        self.weights: set[Node] = set()  # of layers so far

    def done(self, name: str, alone: bool) -> GraphModule:
        """Return the translation.

        Args:
            name: of the class of the new graph.
            alone: whether the model returns a tensor, and no tuple of tensors.
        """
        from torch import fx

        for node in self.source.graph.nodes:
            if node.op == "output":
                values = tuple(_mapped(node.args[0], self._value))
                self.made.output(values[0] if alone else values)
            elif not _ASSERTS.search(f"{node.target}") and not self._compute(node):
                self.env[node] = self._translate(node, name_operator(node))
        self._name_apart()
        graph_module = fx.GraphModule(self.attributes, self.made, name)
        graph_module.graph.eliminate_dead_code()
        graph_module.delete_all_unused_submodules()
        graph_module.recompile()
        return graph_module

    def _name_apart(self) -> None:
        """Rename constants that are called like a tensor of a layer, as tied weights are.

        They share the layer's tensor until folding or a correction gives the layer another one.
        """
        from torch import nn

        for node in self.made.find_nodes(op="get_attr"):
            name = str(node.target)
            owner, _, member = name.rpartition(".")
            layer = self.attributes.get(owner)
            if isinstance(layer, nn.Module) and hasattr(layer, member):
                value = self.attributes.pop(name)
                setattr(layer, member, value)
                node.target = choose_free_name(name.replace(".", "_"), self.attributes)
                self.attributes[node.target] = value

    def _compute(self, node: Node) -> bool:
        """Compute a node that does not depend on inputs; return whether it was one."""
        import torch

        if node.op == "get_attr":
            self.constants[node] = _attribute(self.source, str(node.target))
        elif node.op == "call_function" and all(n in self.constants for n in node.all_input_nodes):
            assert callable(node.target)
            args, kwargs = _mapped((node.args, node.kwargs), self.constants.__getitem__)
            with torch.no_grad():
                self.constants[node] = node.target(*args, **kwargs)
        return node in self.constants

    def _value(self, node: Node) -> Node:
        """Return the translated node; a constant becomes an attribute when it is used."""
        if node not in self.env:
            base = str(node.target) if node.op == "get_attr" else node.name
            name = choose_free_name(base, self.attributes)
            self.attributes[name] = self.constants[node]
            self.env[node] = self.made.get_attr(name)
        return self.env[node]

    def _translate(self, node: Node, name: str) -> Node:
        if name in _IDENTITY or (name == "getitem" and self._first(node).op == "call_module"):
            return self._first(node)  # only the first of a batch norm's three results is used
        if name == _SIZE:
            return self.made.call_method("size", _mapped(node.args, self._value))
        layer = self._layer(node, name)
        if layer is not None:
            target = choose_free_name(_layer_name(node, layer), self.attributes)
            self.attributes[target] = layer.eval()
            return self.made.call_module(target, (self._first(node),))
        copy = self.made.node_copy(node, self._value)
        copy.target = _function(node, name) or copy.target
        return copy

    def _first(self, node: Node) -> Node:
        """Return the translation of a node's first argument."""
        return self._value(as_node(node.args[0]))

    def _layer(self, node: Node, name: str) -> nn.Module | None:
        """Return the module for an operator with constant weights, None if it is none."""
        from torch import nn

        if name in _ACTIVATIONS and not node.kwargs:
            kind: type[nn.Module] = getattr(nn, _ACTIVATIONS[name])
            return kind(*node.args[1:])
        makers: dict[str, Callable[..., nn.Module]] = {
            "conv2d": _convolution,
            "conv_transpose2d": _transposed,
            "linear": _linear,
            _BATCH_NORM: _batch_norm,
        }
        make = makers.get(name)
        weights = node.args[1:5] if name == _BATCH_NORM else node.args[1:3]
        if make is None or any(w is not None and w not in self.constants for w in weights):
            return None
        layer = make(node, *(w if w is None else self.constants[as_node(w)] for w in weights))
        weight = as_node(node.args[1])
        if weight in self.weights:
            setattr(layer, REPEATED, True)
        self.weights.add(weight)
        return layer


def _mapped(value: NodeValue, change: Callable[[Node], NodeValue]) -> NodeValue:
    from torch import fx

    return fx.node.map_arg(value, change)


_BATCH_NORM, _SIZE = "_native_batch_norm_legit_no_training", "sym_size"


def _function(node: Node, name: str) -> Callable[..., NodeValue] | None:
    import torch

    if "alpha" in node.kwargs or "memory_format" in node.kwargs or "dtype" in node.kwargs:
        return None
    if name in _FUNCTIONAL:
        functional: Callable[..., NodeValue] = getattr(torch.nn.functional, name)
        return functional
    if name in _TORCH and str(node.target).startswith("aten."):
        known: Callable[..., NodeValue] = getattr(torch, _TORCH[name])
        return known
    return None


def _attribute(source: GraphModule, target: str) -> NodeValue:
    owner, _, name = target.rpartition(".")
    return getattr(source.get_submodule(owner), name)


def _options(node: Node, names: tuple[str, ...]) -> dict[str, NodeValue]:
    """Return the arguments of a convolution after its weights."""
    given = dict(zip(names, node.args[3:], strict=False))
    return {**given, **{k: v for k, v in node.kwargs.items() if k in names}}


def _convolution(node: Node, weight: Tensor, bias: Tensor | None = None) -> nn.Module:
    from torch import nn

    options = _options(node, ("stride", "padding", "dilation", "groups"))
    groups: int = options.get("groups", 1)
    height, width = weight.shape[2:]
    size = (height, width)
    made = nn.Conv2d(weight.shape[1] * groups, len(weight), size, bias=False, **options)
    return _filled(made, weight=weight, bias=bias)


def _transposed(node: Node, weight: Tensor, bias: Tensor | None = None) -> nn.Module:
    from torch import nn

    options = _options(node, ("stride", "padding", "output_padding", "groups", "dilation"))
    groups: int = options.get("groups", 1)
    height, width = weight.shape[2:]
    size = (height, width)
    made = nn.ConvTranspose2d(len(weight), weight.shape[1] * groups, size, bias=False, **options)
    return _filled(made, weight=weight, bias=bias)


def _linear(node: Node, weight: Tensor, bias: Tensor | None = None) -> nn.Module:
    from torch import nn

    return _filled(nn.Linear(weight.shape[1], len(weight), bias=False), weight=weight, bias=bias)


def _batch_norm(
    node: Node, weight: Tensor | None, bias: Tensor | None, mean: Tensor, variance: Tensor
) -> nn.Module:
    from torch import nn

    kinds: dict[int, type[_BatchNorm]] = {4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
    kind = kinds.get(as_node(node.args[0]).meta["val"].dim(), nn.BatchNorm1d)
    made = kind(len(mean), eps=as_number(node.args[-1]))
    return _filled(made, weight=weight, bias=bias, running_mean=mean, running_var=variance)


def _filled(module: nn.Module, **values: Tensor | None) -> nn.Module:
    from torch import nn

    for name, value in values.items():
        if name in ("weight", "bias") and value is not None:
            value = nn.Parameter(value.detach().clone())
        setattr(module, name, value)
    return module


def _layer_name(node: Node, layer: nn.Module) -> str:
    """Return the layer's name in the user's model; else the operator's, in its module."""
    weight = str(getattr(node.args[1], "target", "")) if len(node.args) > 1 else ""
    if weight.endswith(".weight"):
        return weight.removesuffix(".weight")
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    owner, kind = stack[-1] if stack else ("", "")
    own = str(kind).rpartition(".")[2] == type(layer).__name__
    return str(owner) if own else f"{owner}.{node.name}".lstrip(".")
