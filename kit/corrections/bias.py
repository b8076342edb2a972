"""Weight-only bias correction.

Rounding weights shifts the mean of a layer's output. Two streams run through the network
layer by layer, one with float and one with rounded weights; the difference of their means,
per output channel, is taken off the bias, and the corrected output goes on (Nagel et al.,
arXiv 1906.04721, section 4.2, empirical variant). Activations stay float on purpose: with
clipped activations the correction would put back the mean of what was clipped, which was
measured to cost 4 points.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kit.corrections._contract import Info
from kit.corrections._layers import layer

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule, Node

INFO = Info(summary="take the mean error of rounded weights off the biases", order=30)

IMAGES = 32  # more pictures change the means by less than a rounding step
STEPS = 127  # of a symmetric int8 weight


def apply(model: GraphModule, images: Tensor, granularity: str) -> None:
    """Correct the biases of a folded float model in place."""
    import torch
    from torch import fx

    class TwoStreams(fx.Interpreter):  # type: ignore[misc]
        """Every value is a pair: as the float model has it, and with rounded weights."""

        def run_node(self, n: Node) -> Any:
            if n.op in ("placeholder", "output", "get_attr"):
                value = super().run_node(n)
                return (value, value) if n.op == "get_attr" else value
            float_value, rounded_value = (self._run(n, side) for side in (0, 1))
            module = layer(model, n)
            if module is None or module.bias is None:
                return float_value, rounded_value
            return float_value, _correct(module, float_value, rounded_value)

        def _run(self, n: Node, side: int) -> Any:
            args = fx.node.map_arg(n.args, lambda a: self.env[a][side])
            kwargs = fx.node.map_arg(n.kwargs, lambda a: self.env[a][side])
            module = layer(model, n)
            if module is None or side == 0:
                return getattr(self, n.op)(n.target, args, kwargs)
            return _call(module, round_weight(module.weight, granularity), args[0])

    few = images[:IMAGES]
    with torch.inference_mode(False), torch.no_grad():
        TwoStreams(model).run((few, few))


def round_weight(weight: Tensor, granularity: str) -> Tensor:
    """Return a weight [out, ...] rounded to symmetric int8 steps."""
    flat = weight.flatten(1) if granularity == "per-channel" else weight.reshape(1, -1)
    step = (flat.abs().amax(1, keepdim=True) / STEPS).clamp_min(1e-12)
    return ((flat / step).round() * step).view_as(weight)


def _call(module: Any, weight: Tensor, value: Tensor) -> Tensor:
    from torch import nn
    from torch.nn import functional

    if isinstance(module, nn.Linear):
        return functional.linear(value, weight, module.bias)
    return module._conv_forward(value, weight, module.bias)


def _correct(module: Any, wanted: Tensor, got: Tensor) -> Tensor:
    """Move the mean of `got` to that of `wanted`, in the bias and in the value."""
    dims = [d for d in range(got.dim()) if d != 1]
    shift = (wanted - got).mean(dims)
    module.bias.add_(shift)
    return got + shift.view(1, -1, *[1] * (got.dim() - 2))
