"""Two streams through a network, layer by layer: with its own weights, and with rounded ones.

What a step corrects in a layer is what the next layer sees, so that errors do not add up.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from kit.corrections._layers import channel_axis, layer
from kit.quantize.graph import Value

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule, Interpreter, Node

    from kit.corrections._layers import Layer
    from kit.quantize.examples import ExamplesLike

IMAGES = 32  # more pictures change the means by less than a rounding step

# Takes a layer and its rounded stream's input; gives the weight on the int8 grid.
Rounding = Callable[["Layer", "Tensor"], "Tensor"]


def correct(
    model: GraphModule,
    given: ExamplesLike,
    rounding: Rounding,
    kept: Collection[str] = (),
    step: Callable[[float], None] = lambda done: None,
) -> dict[str, Tensor]:
    """Correct the biases of a folded float model in place; return the rounded weights by name.

    The mean of every output channel, over pictures and positions, becomes that of the float
    stream. Activations stay float on purpose: with clipped activations the correction would
    put back the mean of what was clipped, which was measured to cost 4 points.

    Args:
        model: folded.
        given: examples that calibrate; one call's worth of them is used.
        rounding: gives a layer's rounded weight.
        kept: names of the layers that stay float; their weights are used as they are.
        step: called with the share of the layers that is done, 0..1.
    """
    import torch

    from kit.quantize.examples import as_examples

    rounded: dict[str, Tensor] = {}
    layers = sum(layer(model, node) is not None for node in model.graph.nodes)
    passed = itertools.count()

    def weight_of(name: str, module: Layer, given: Tensor) -> Tensor:
        step(next(passed) / layers)
        if name in kept:
            own: Tensor = module.weight
            return own
        rounded[name] = rounding(module, given)
        return rounded[name]

    with torch.inference_mode(False), torch.no_grad():
        few = as_examples(given).split(IMAGES)[0]
        _two_streams(model, weight_of).run(*((value, value) for value in few))
    return rounded


def _two_streams(
    model: GraphModule, weight_of: Callable[[str, Layer, Tensor], Tensor]
) -> Interpreter:
    """Return what runs a model in both streams, and corrects each layer as it comes by."""
    from torch import fx

    class TwoStreams(fx.Interpreter):
        """Every value is a pair: as the float model has it, and with rounded weights."""

        def run_node(self, n: Node) -> Value:
            if n.op in ("placeholder", "output", "get_attr"):
                value = super().run_node(n)
                return (value, value) if n.op == "get_attr" else value
            module = layer(model, n)
            if module is None:
                return tuple(self._run(n, side) for side in (0, 1))
            return self._layer(n, module)

        def _run(self, n: Node, side: int) -> Value:
            args = fx.node.map_arg(n.args, lambda a: self.env[a][side])
            kwargs = fx.node.map_arg(n.kwargs, lambda a: self.env[a][side])
            return getattr(self, n.op)(n.target, args, kwargs)

        def _layer(self, n: Node, module: Layer) -> tuple[Tensor, Tensor]:
            wanted = self._run(n, 0)
            given = self.env[n.all_input_nodes[0]][1]
            got = _call(module, weight_of(str(n.target), module, given), given)
            bias: Tensor | None = module.bias
            if bias is None:
                return wanted, got
            return wanted, _shift(bias, channel_axis(module, got), wanted, got)

    return TwoStreams(model)


def _call(module: Layer, weight: Tensor, value: Tensor) -> Tensor:
    from torch import nn
    from torch.nn import functional

    if isinstance(module, nn.Linear):
        return functional.linear(value, weight, module.bias)
    output: Tensor = module._conv_forward(value, weight, module.bias)
    return output


def _shift(bias: Tensor, axis: int, wanted: Tensor, got: Tensor) -> Tensor:
    """Move the mean of `got` to that of `wanted`, in the bias and in the value."""
    shift = (wanted - got).mean([d for d in range(got.dim()) if d != axis])
    bias.add_(shift)
    return got + shift.view([-1 if d == axis else 1 for d in range(got.dim())])
