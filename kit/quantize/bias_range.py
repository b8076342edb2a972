"""Raise scales of weights at which a layer's bias would overflow int32.

Integer kernels add biases in int32, in steps of the input's scale times the weight's. A channel
whose weights are all zero, such as that of a pruned filter or of a BatchNorm with weight 0, would
have a step so small that its bias is beyond int32, and every runtime would clip it.

The larger steps change answers by less than the bias times 2**-23 for each input of the layer, so
simulations, which add biases in float, keep the steps of the weights alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeGuard

from kit.encodings import LEVELS, Encoding, Encodings
from kit.quantize._names import TensorNames
from kit.quantize.nodes import get_module, name_node
from kit.quantize.options import WIDENING

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.fx import GraphModule, Node

    from kit.quantize.observers import Observer

    class Layer(nn.Module):
        """A layer with a weight."""

        weight: Tensor
        bias: Tensor | None


# The largest bias, in steps. The other half of int32 is for the products, which are added to it.
LARGEST = 2**30
# Steps of activations in each step of their 8-bit encoding, at most.
_FINER = {8: 1, 16: (2**16 - 1) / (WIDENING * LEVELS)}


class BiasRange:
    """The scales of weights at which biases fit.

    Attributes:
        names: of the encodings of the canonical graph's tensors.
    """

    def __init__(self, names: TensorNames, encodings: Encodings, activation_bits: int) -> None:
        self.names = names
        finer = _FINER[activation_bits]
        self._scales = {one.name: one.scales[0] / finer for one in encodings.activations}

    def find_smallest(self, inputs: Iterable[str], bias: Tensor) -> Tensor | None:
        """Return the smallest scales of a layer's weight, one per output.

        Args:
            inputs: names of the encodings that together cover the layer's input.
            bias: of the layer.

        Returns:
            None if the input is not quantized, so that the bias is added in float.
        """
        import torch

        scales = [self._scales[name] for name in inputs]
        if not scales:
            return None
        return bias.detach().abs().to(torch.float64) / (min(scales) * LARGEST)

    def find_smallest_of(self, node: Node) -> Tensor | None:
        """Return the smallest scales of the layer that a node of the canonical graph calls.

        Returns:
            None if it calls no layer with a bias, or the input is not quantized.
        """
        layer = get_module(node) if node.op == "call_module" else None
        if not is_layer(layer) or layer.bias is None:
            return None
        return self.find_smallest(self.names.of(node.all_input_nodes[0]), layer.bias)


def is_layer(module: nn.Module | None) -> TypeGuard[Layer]:
    """Whether a module is a linear layer or a convolution of any kind."""
    from torch import nn

    convolutions = nn.Conv1d | nn.Conv2d | nn.Conv3d
    transposed = nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d
    return isinstance(module, nn.Linear | convolutions | transposed)


def fit_biases(model: GraphModule, encodings: Encodings, activation_bits: int = 8) -> Encodings:
    """Return encodings in which scales of weights are large enough for the biases.

    Args:
        model: the canonical graph.
        encodings: of its tensors.
        activation_bits: that the activations will have.
    """
    range_ = BiasRange(TensorNames(model, encodings), encodings, activation_bits)
    # A weight of several layers is stored once, so it takes the largest scales of all of them.
    shared: dict[int, list[Tensor]] = {}
    weights: dict[str, int] = {}
    for node in model.graph.nodes:
        smallest = range_.find_smallest_of(node)
        if smallest is not None:
            key = id(get_module(node).weight)
            weights[f"{name_node(node)}.weight"] = key
            shared.setdefault(key, []).append(smallest)
    raised = tuple(
        one if one.name not in weights else _raise(one, shared[weights[one.name]])
        for one in encodings.weights
    )
    return (
        encodings
        if raised == encodings.weights
        else encodings.model_copy(update={"weights": raised})
    )


def _raise(encoding: Encoding, smallest: list[Tensor]) -> Encoding:
    import torch

    minimum = torch.stack(smallest).amax(0)
    scales = torch.tensor(encoding.scales, dtype=torch.float64)
    if len(scales) not in (1, len(minimum)):
        return encoding  # placing it fails, and says why
    minimum = minimum if len(scales) == len(minimum) else minimum.amax().reshape(1)
    raised = tuple(torch.maximum(scales, minimum).tolist())
    return encoding if raised == encoding.scales else encoding.model_copy(update={"scales": raised})


def raise_scales(observer: Observer, smallest: Tensor | None) -> Observer:
    """Make a weight's observer return no smaller scales than these, and return the observer.

    Args:
        observer: of the weight, with one scale, or one per output of the layer.
        smallest: one per output of the layer; None changes nothing.
    """
    import torch

    if smallest is None:
        return observer
    observed: Callable[[], tuple[Tensor, Tensor]] = observer.calculate_qparams

    def compute() -> tuple[Tensor, Tensor]:
        scales, zeros = observed()
        minimum = smallest if scales.numel() == len(smallest) else smallest.amax()
        return torch.maximum(scales, minimum.to(scales)), zeros

    observer.__dict__["calculate_qparams"] = compute
    return observer
