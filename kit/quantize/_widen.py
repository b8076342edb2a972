"""Give the activations of a Q/DQ graph 16 bits.

The 8-bit graph has the ranges; each is doubled, so that values beyond those of the calibration
samples are not clipped, and divided into 65,536 levels instead of 256. LiteRT's
kernels for 16 bits have no zero point, so int16 levels are symmetric; uint16 levels of ONNX, which
NPUs take, are those of the range.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from kit.quantize.options import WIDENING

if TYPE_CHECKING:
    from torch.fx import GraphModule, Node

_LEVELS = 2**16 - 1
_STEPS = 2**15 - 1


def widen_activations(graph: GraphModule, *, symmetric: bool) -> None:
    """Change the levels of all activations.

    Args:
        graph: with 8-bit activations; is changed.
        symmetric: int16 around zero, instead of uint16.
    """
    import torch

    decomposed = torch.ops.quantized_decomposed
    targets = (
        decomposed.quantize_per_tensor.default,
        decomposed.dequantize_per_tensor.default,
    )
    for node in graph.graph.nodes:
        if node.target in targets and _source(node).op != "get_attr":
            scale, zero, low, high = cast("list[float]", node.args[1:5])
            ends = WIDENING * (low - zero) * scale, WIDENING * (high - zero) * scale
            node.args = (node.args[0], *_divide(*ends, symmetric), *node.args[6:])
    graph.recompile()


def _divide(low: float, high: float, symmetric: bool) -> tuple[object, ...]:
    """Return scale, zero point, smallest and largest level, and dtype of a range."""
    import torch

    if symmetric:
        scale = max(-low, high) / _STEPS
        return scale, 0, -_STEPS - 1, _STEPS, torch.int16
    scale = (high - low) / _LEVELS
    return scale, round(-low / scale), 0, _LEVELS, torch.uint16


def _source(node: Node) -> Node:
    return cast("Node", node.args[0])
