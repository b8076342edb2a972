"""ReLU6 and other clips in PT2E graphs: as operations that quantizers know, or dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.quantize.nodes import as_number

if TYPE_CHECKING:
    from torch.fx import GraphModule, Node


def replace_clips(program: GraphModule) -> dict[str, tuple[float, float]]:
    """Replace convolution + clip from 0 by convolution + ReLU for the quantizer; return bounds.

    XNNPACKQuantizer only fuses ReLU: it would quantize the convolution's output before the
    clip, over a range that the clip then discards. For MobileNetV2 that costs 4 dB, and
    35 more operators at run time.
    """
    import torch

    aten = torch.ops.aten
    producers = (aten.conv2d.default, aten.linear.default)
    clipped = {}
    for node in program.graph.nodes:
        if node.target not in list_clips():
            continue
        source = node.args[0]
        if source.target in producers and len(source.users) == 1 and _bounds(node)[0] == 0:
            clipped[node.name] = _bounds(node)
            node.target, node.args = aten.relu.default, (source,)
    program.recompile()
    return clipped


def list_clips() -> tuple[object, ...]:
    """Return the operators that clip: hardtanh and ReLU6."""
    import torch

    aten = torch.ops.aten
    return aten.hardtanh.default, aten.hardtanh_.default, aten.relu6.default


def _bounds(node: Node) -> tuple[float, float]:
    import torch

    if node.target is torch.ops.aten.relu6.default:
        return 0.0, 6.0
    low, high = node.args[1:] if len(node.args) == 3 else (-1.0, 1.0)
    return as_number(low), as_number(high)


def restore_clips(prepared: GraphModule, clipped: dict[str, tuple[float, float]]) -> None:
    """Undo `replace_clips`, so that calibration observes the network's own values."""
    import torch

    for node in prepared.graph.nodes:
        if node.name in clipped:
            node.target = torch.ops.aten.hardtanh.default
            node.args = (node.args[0], *clipped[node.name])
    prepared.recompile()


def drop_saturated_clips(graph: GraphModule) -> None:
    """Remove ReLU6 if the quantization after it saturates at the same bounds or tighter.

    The answers stay equal bit for bit, and ONNX Runtime can then run the convolution,
    the clip and the requantization as one operator.
    """
    import torch

    for node in list(graph.graph.nodes):
        if node.target is not torch.ops.aten.hardtanh.default:
            continue
        low, high = _bounds(node)
        if all(_saturates(user, low, high) for user in node.users):
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    graph.recompile()


def _saturates(user: Node, low: float, high: float) -> bool:
    import torch

    if user.target is not torch.ops.quantized_decomposed.quantize_per_tensor.default:
        return False
    scale, zero, quant_min, quant_max = (as_number(v) for v in user.args[1:5])
    return (quant_min - zero) * scale >= low and (quant_max - zero) * scale <= high * (1 + 1e-6)
