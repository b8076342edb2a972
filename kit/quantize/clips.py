"""Clips of the float graph, in the form that exporters and integer kernels take."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from kit.quantize.nodes import NOT_FLOAT

if TYPE_CHECKING:
    from torch.fx import GraphModule
    from torch.fx.node import Argument


def replace_gates(folded: GraphModule) -> None:
    """Convert a layer and hard-sigmoid, clip((y + 3) / 6, 0, 1), to a scaled layer and a clip.

    Integer kernels have no hard-sigmoid, but clip to their output's range at no cost. Without
    this, each gate of MobileNetV3 runs in float between two conversions, and ExecuTorch does
    not delegate two of its operators.
    """
    import torch
    from torch import nn

    calls = Counter(node.target for node in folded.graph.nodes if node.op == "call_module")
    modules = dict(folded.named_modules())
    for node in folded.graph.nodes:
        source = node.args[0] if node.args else node
        gate, layer = (modules.get(getattr(n, "target", None)) for n in (node, source))
        if not isinstance(gate, nn.Hardsigmoid) or not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        alone = calls[node.target] == calls[source.target] == len(source.users) == 1
        if alone and layer.bias is not None:
            with torch.no_grad():  # new ones, because another layer may share the old ones
                layer.weight = nn.Parameter(layer.weight / 6, requires_grad=False)
                layer.bias = nn.Parameter((layer.bias + 3) / 6, requires_grad=False)
            folded.set_submodule(node.target, nn.Hardtanh(0.0, 1.0))


def convert_bounds(folded: GraphModule) -> None:
    """Convert the bounds of ``x.clamp(-1, 1)`` to floats, where x is of floats, in place.

    `torch.jit.optimize_for_inference` fuses a convolution and such a clamp, and then fails in the
    first inference, because it expects floats (torch 2.14).
    """
    for node in folded.graph.nodes:
        name = str(getattr(node.target, "__name__", node.target)).rstrip("_")
        if name not in ("clamp", "clip", "hardtanh") or NOT_FLOAT in node.meta:
            continue
        node.args = (node.args[0], *map(_as_float, node.args[1:3]), *node.args[3:])
        node.kwargs = {
            key: _as_float(value) if key.startswith(("min", "max")) else value
            for key, value in node.kwargs.items()
        }
    folded.recompile()


def _as_float(argument: Argument) -> Argument:
    return float(argument) if type(argument) is int else argument
