"""Graphs whose layers have integer weights and compute in float.

Weights become int8 constants with a node that dequantizes them, so that PyTorch runs the graph
that a file is compared with. 8 bits have one scale per output channel, or one per tensor; 4 bits
have one per group of 32 inputs, because 15 levels over a whole channel cost a network its answers.

Scales of groups are rounded to bfloat16: XNNPACK stores them so, and LiteRT as float16, which
holds those of usual weights exactly. So one graph is what all formats compute.
"""

from __future__ import annotations

import itertools
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kit.errors import BuildError
from kit.quantize._match import export, forget_names, get_name
from kit.quantize.encoding_choice import WEIGHT_EPS
from kit.quantize.nodes import as_node

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule, Node

    from kit.quantize.examples import Call
    from kit.quantize.options import Options

GROUP = 32  # inputs that share a scale of int4 weights: what XNNPACK's and MLAS's kernels take
_STEPS = {8: 127, 4: 7}  # on each side of zero
# Scales that are tried for each group, in parts of the one that clips nothing.
_FACTORS = (1.0, 0.95, 0.9, 0.85, 0.8)
_MIN_SCALE = 2**-14  # of a group: the smallest normal number of float16


@dataclass(frozen=True)
class IntegerWeight:
    """Integers and scales of a weight.

    Attributes:
        values: int8, of the weight's shape.
        scales: [out] or [1] of 8 bits, [out, in / `GROUP`] of 4 bits.
    """

    values: Tensor
    scales: Tensor


def quantize_weights(
    model: GraphModule, example: Call, options: Options, *, computes_in_int8: bool
) -> GraphModule:
    """Return an exported graph with integer weights.

    Args:
        model: the float model, BatchNorm folded.
        example: one inference's inputs.
        options: of the recipe; layers in `keep_float` keep their weights.
        computes_in_int8: quantize the inputs of layers with int4 weights as they come, one scale
            per row, which is what XNNPACK's and LiteRT's kernels for such layers do.

    Raises:
        BuildError: no weight can be quantized.
    """
    graph = export(model, example, options.varying)
    names = _IntegerNames(graph)
    for node in list(graph.graph.nodes):
        located = _find_weight(graph, node, options)
        if located is None:
            continue
        source, weight = located
        if options.weight_bits == 8:
            axis = _find_axis(node)
            stored = round_channels(weight, axis, options.granularity == "per-channel")
            _put_channels(graph, node, source, stored, axis, names.choose(source, axis))
        else:
            _put_groups(graph, node, source, round_groups(weight), names.choose(source, 0))
            if computes_in_int8:
                _quantize_input(graph, node)
    if not names.chosen:
        bits = options.weight_bits
        raise BuildError(
            f"{bits}-bit weights would change nothing: {_NOTHING[bits]}",
            "leave the precision out of --precision",
        )
    graph.graph.eliminate_dead_code()
    forget_names(graph)
    graph.recompile()
    return graph


_NOTHING = {
    8: "the model has no layer with weights",
    4: f"the model has no linear layer whose inputs are a multiple of {GROUP}",
}


def round_channels(weight: Tensor, axis: int, per_channel: bool) -> IntegerWeight:
    """Return int8 weights with a scale for each index of an axis, or for all."""
    steps = _STEPS[8]
    others = [i for i in range(weight.ndim) if i != axis or not per_channel]
    scales = (weight.abs().amax(others, keepdim=True) / steps).clamp_min(WEIGHT_EPS)
    values = (weight / scales).round().clamp(-steps, steps)
    return IntegerWeight(_as_int8(values), scales.flatten())


def round_groups(weight: Tensor) -> IntegerWeight:
    """Return int4 weights [out, in], with the scale of each group that errs least (squared)."""
    import torch

    steps = _STEPS[4]
    groups = weight.reshape(len(weight), -1, GROUP)
    widest = groups.abs().amax(-1, keepdim=True) / steps
    best, scales, values = None, widest, groups
    for factor in _FACTORS:
        tried = (widest * factor).clamp_min(_MIN_SCALE).to(torch.bfloat16).float()
        rounded = (groups / tried).round().clamp(-steps, steps)
        error = (rounded * tried - groups).square().sum(-1, keepdim=True)
        better = torch.ones_like(error, dtype=torch.bool) if best is None else error < best
        best = error if best is None else torch.where(better, error, best)
        scales = torch.where(better, tried, scales)
        values = torch.where(better, rounded, values)
    return IntegerWeight(_as_int8(values.reshape(weight.shape)), scales.squeeze(-1))


def _as_int8(values: Tensor) -> Tensor:
    import torch

    return values.to(torch.int8)


def _find_weight(graph: GraphModule, node: Node, options: Options) -> tuple[Node, Tensor] | None:
    """Return the constant that a layer takes as its weight, and its value; None for no layer."""
    import torch

    aten = torch.ops.aten
    linear = {aten.linear.default: 1}
    places = linear if options.weight_bits == 4 else linear | {
        aten.conv1d.default: 1,
        aten.conv2d.default: 1,
        aten.conv2d.padding: 1,
        aten.conv_transpose2d.input: 1,
        aten.embedding.default: 0,
    }  # fmt: skip
    if node.op != "call_function" or node.target not in places:
        return None
    if get_name(node) in options.keep_float:  # not its weight's, which another layer may share
        return None
    source = as_node(node.args[places[node.target]])
    if source.op != "get_attr":
        return None
    name = str(source.target)
    owner, _, attribute = name.rpartition(".")
    weight = getattr(graph.get_submodule(owner), attribute).detach()
    if not weight.is_floating_point():
        return None
    if options.weight_bits == 4 and weight.shape[1] % GROUP:
        return None
    return source, weight


def _find_axis(node: Node) -> int:
    """Return the dimension of a layer's weight that is its output channels."""
    import torch

    return 1 if node.target is torch.ops.aten.conv_transpose2d.input else 0


class _IntegerNames:
    """Names of integers in a graph; layers that share a weight, and its scales, share them."""

    def __init__(self, graph: GraphModule) -> None:
        self._graph = graph
        self.chosen: dict[tuple[str, int], str] = {}

    def choose(self, source: Node, axis: int) -> str:
        """Return a name that no other name in the graph begins with.

        Names of weights do not say enough without their dots: ``fc.1`` may be beside ``fc_1``.

        Args:
            source: the weight.
            axis: dimension that has a scale for each index.
        """
        key = (str(source.target), axis)
        if key not in self.chosen:
            base, taken = f"{source.target}_integers".replace(".", "_"), dir(self._graph)
            names = itertools.chain([base], (f"{base}_{number}" for number in itertools.count(2)))
            self.chosen[key] = next(
                name for name in names if not any(one.startswith(name) for one in taken)
            )
        return self.chosen[key]


def _put_channels(
    graph: GraphModule, node: Node, source: Node, stored: IntegerWeight, axis: int, name: str
) -> None:
    import torch
    import torch.ao.quantization.fx._decomposed  # registers the operators

    decomposed = torch.ops.quantized_decomposed
    steps = _STEPS[8]
    _register(graph, name, stored.values)
    limits = (-steps, steps, torch.int8)
    if stored.scales.numel() == 1:
        with graph.graph.inserting_before(node):
            values = graph.graph.get_attr(name)
            weight = graph.graph.call_function(
                decomposed.dequantize_per_tensor.default,
                (values, float(stored.scales), 0, *limits),
            )
    else:
        _register(graph, f"{name}_scale", stored.scales)
        _register(graph, f"{name}_zero", torch.zeros(len(stored.scales), dtype=torch.int64))
        with graph.graph.inserting_before(node):
            parts = [graph.graph.get_attr(f"{name}{end}") for end in ("", "_scale", "_zero")]
            weight = graph.graph.call_function(
                decomposed.dequantize_per_channel.default, (*parts, axis, *limits)
            )
    node.replace_input_with(source, weight)


def _put_groups(
    graph: GraphModule, node: Node, source: Node, stored: IntegerWeight, name: str
) -> None:
    import torch
    import torch.ao.quantization.fx._decomposed  # registers the operators

    steps = _STEPS[4]
    _register(graph, name, stored.values)
    _register(graph, f"{name}_scale", stored.scales)
    _register(graph, f"{name}_zero", torch.zeros_like(stored.scales, dtype=torch.int32))
    with graph.graph.inserting_before(node):
        parts = [graph.graph.get_attr(f"{name}{end}") for end in ("", "_scale", "_zero")]
        restored = graph.graph.call_function(
            torch.ops.quantized_decomposed.dequantize_per_channel_group.default,
            (*parts, -steps - 1, steps, torch.int8, GROUP, torch.float32),
        )
    node.replace_input_with(source, restored)


def _quantize_input(graph: GraphModule, node: Node) -> None:
    """Quantize a layer's input to int8, one scale for each row, as the row comes."""
    import torch
    import torch.ao.quantization.fx._decomposed  # registers the operators

    decomposed = torch.ops.quantized_decomposed
    value, limits = as_node(node.args[0]), (-128, 127, torch.int8)
    with graph.graph.inserting_before(node):
        chosen = graph.graph.call_function(
            decomposed.choose_qparams_per_token_asymmetric.default, (value, torch.int8)
        )
        parts = [graph.graph.call_function(operator.getitem, (chosen, i)) for i in (0, 1)]
        stored = graph.graph.call_function(
            decomposed.quantize_per_token.default, (value, *parts, *limits)
        )
        restored = graph.graph.call_function(
            decomposed.dequantize_per_token.default, (stored, *parts, *limits, torch.float32)
        )
    node.args = (restored, *node.args[1:])


def _register(graph: GraphModule, name: str, value: Tensor) -> None:
    if not hasattr(graph, name):
        graph.register_buffer(name, value)
