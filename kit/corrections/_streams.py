"""Bias correction with two streams of activations: one of float weights, one of rounded ones.

Layers are corrected in order, each on the activations of the corrected layers before it, so that
errors do not accumulate.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from kit.corrections._layers import find_layer, get_channel_axis, replace_parameters
from kit.quantize.nodes import NodeValue

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule, Interpreter, Node

    from kit.corrections._layers import Layer
    from kit.quantize.examples import ExamplesLike

SAMPLES = 32  # more samples change the means by less than a rounding step

# Takes a layer and its input in the rounded stream; returns its weight on the int8 grid.
Rounding = Callable[["Layer", "Tensor"], "Tensor"]


def correct(
    model: GraphModule,
    examples: ExamplesLike,
    rounding: Rounding,
    kept: Collection[str] = (),
    step: Callable[[float], None] = lambda done: None,
) -> dict[str, Tensor]:
    """Correct the biases of a folded float model in place; return the rounded weights by name.

    The mean of every output channel, over samples and positions, becomes that of the float
    stream. Activations stay float on purpose: with clipped activations the correction would
    also restore the mean of the clipped part, which cost 4 points of top-1 when measured.

    Args:
        model: folded.
        examples: the calibration set; the first `SAMPLES` are used.
        rounding: returns a layer's rounded weight.
        kept: names of the layers that stay float; their weights are not rounded.
        step: progress callback; takes the completed share of the layers, 0..1.
    """
    import torch

    from kit.quantize.examples import as_examples

    rounded: dict[str, Tensor] = {}
    layers = sum(find_layer(model, node) is not None for node in model.graph.nodes)
    passed = itertools.count()

    def weight_of(name: str, module: Layer, value: Tensor) -> Tensor:
        step(next(passed) / layers)
        if name in kept:
            own: Tensor = module.weight
            return own
        rounded[name] = rounding(module, value)
        return rounded[name]

    with torch.inference_mode(False), torch.no_grad():
        few = as_examples(examples).split(SAMPLES)[0]
        _two_streams(model, weight_of).run(*((value, value) for value in few))
    return rounded


def _two_streams(
    model: GraphModule, weight_of: Callable[[str, Layer, Tensor], Tensor]
) -> Interpreter:
    """Return an interpreter that runs a model in both streams and corrects each layer in turn."""
    from torch import fx

    class TwoStreams(fx.Interpreter):
        """Every value is a pair: of the float model, and of the model with rounded weights."""

        def run_node(self, n: Node) -> NodeValue:
            if n.op in ("placeholder", "output", "get_attr"):
                value = super().run_node(n)
                return (value, value) if n.op == "get_attr" else value
            module = find_layer(model, n)
            if module is None:
                return tuple(self._run(n, side) for side in (0, 1))
            return self._layer(n, module)

        def _run(self, n: Node, side: int) -> NodeValue:
            args = fx.node.map_arg(n.args, lambda a: self.env[a][side])
            kwargs = fx.node.map_arg(n.kwargs, lambda a: self.env[a][side])
            return getattr(self, n.op)(n.target, args, kwargs)

        def _layer(self, n: Node, module: Layer) -> tuple[Tensor, Tensor]:
            target = self._run(n, 0)
            value = self.env[n.all_input_nodes[0]][1]
            output = _call(module, weight_of(str(n.target), module, value), value)
            if module.bias is None:
                return target, output
            return target, _shift(module, get_channel_axis(module, output), target, output)

    return TwoStreams(model)


def _call(module: Layer, weight: Tensor, value: Tensor) -> Tensor:
    from torch import nn
    from torch.nn import functional

    if isinstance(module, nn.Linear):
        return functional.linear(value, weight, module.bias)
    output: Tensor = module._conv_forward(value, weight, module.bias)
    return output


def _shift(module: Layer, axis: int, target: Tensor, output: Tensor) -> Tensor:
    """Give `output` the mean per channel of `target`: add the difference to it and to the bias."""
    shift = (target - output).mean([d for d in range(output.dim()) if d != axis])
    assert module.bias is not None
    replace_parameters(module, bias=module.bias + shift)
    return output + shift.view([-1 if d == axis else 1 for d in range(output.dim())])
