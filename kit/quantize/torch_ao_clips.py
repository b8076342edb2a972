"""Clips of quantized tensors, such as ReLU6 after a sum, for qnnpack's kernel.

Its `clamp` has two faults (torch 2.14), neither of which is reported. It rounds the bounds to the
input's grid without checking that they fit into a byte: 6 at a scale of 1/128 is 768, which
overflows to 0, and so does every answer. And it reads a tensor that is channels last in memory, as
convolutions return it, as if it were not, so that values change places.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kit.encodings import LEVELS
from kit.quantize.nodes import NodeValue, as_number

if TYPE_CHECKING:
    from torch import nn
    from torch.fx import GraphModule, Node

    from kit.quantize.examples import Call

Bounds = tuple[float, float]
# By name, of torch's functions and of tensors' methods; the bounds where no argument gives them.
_CLIPS: dict[str, Bounds] = {
    "clamp": (-math.inf, math.inf),
    "clip": (-math.inf, math.inf),
    "clamp_min": (-math.inf, math.inf),
    "clamp_max": (-math.inf, math.inf),
    "hardtanh": (-1.0, 1.0),
    "relu6": (0.0, 6.0),
}


def correct_clips(graph: GraphModule, example: Call) -> None:
    """Limit the bounds of clips to their inputs' ranges, and give them inputs that they can read.

    Args:
        graph: quantized; it is changed in place.
        example: arguments of one call.
    """
    import torch
    from torch import fx

    modules = dict(graph.named_modules())
    clips: list[tuple[Node, Bounds]] = []

    class Visitor(fx.Interpreter):
        def run_node(self, n: Node) -> NodeValue:
            bounds = _read_bounds(n, modules)
            value = None if bounds is None else self.env[n.all_input_nodes[0]]
            if bounds is None or not isinstance(value, torch.Tensor) or not value.is_quantized:
                return super().run_node(n)
            step, zero = value.q_scale(), value.q_zero_point()
            low, high = max(bounds[0], -zero * step), min(bounds[1], (LEVELS - zero) * step)
            clips.append((n, (low, high)))
            return torch.clamp(value.contiguous(), low, high)

    Visitor(graph).run(*example)
    for node, bounds in clips:
        with graph.graph.inserting_before(node):
            # Without effect where the tensor is in this order already.
            source = graph.graph.call_method("contiguous", (node.all_input_nodes[0],))
            clipped = graph.graph.call_function(torch.clamp, (source, *bounds))
        node.replace_all_uses_with(clipped)
        graph.graph.erase_node(node)
    graph.delete_all_unused_submodules()
    graph.recompile()


def _read_bounds(node: Node, modules: dict[str, nn.Module]) -> Bounds | None:
    """Return the bounds of a clip, infinite where there is none; None for other nodes."""
    from torch import nn
    from torch.ao.nn import quantized

    if node.op == "call_module":
        module = modules[str(node.target)]
        if isinstance(module, quantized.ReLU6):
            return _CLIPS["relu6"]
        if isinstance(module, nn.Hardtanh):
            return float(module.min_val), float(module.max_val)
        return None
    if node.op not in ("call_function", "call_method") or len(node.all_input_nodes) != 1:
        return None
    name = str(getattr(node.target, "__name__", node.target)).rstrip("_")
    if name not in _CLIPS:
        return None
    low, high = _CLIPS[name]
    if name == "relu6":
        return low, high
    given = (None, *node.args[1:]) if name == "clamp_max" else node.args[1:]
    lower, upper = (*given, None, None)[:2]
    lower = node.kwargs.get("min", node.kwargs.get("min_val", lower))
    upper = node.kwargs.get("max", node.kwargs.get("max_val", upper))
    return low if lower is None else as_number(lower), high if upper is None else as_number(upper)
