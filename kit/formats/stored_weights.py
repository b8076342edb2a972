"""Integer weights of a graph, for formats whose converter has no words for them.

The converter gets the graph with float weights, those that the integers stand for. Afterwards
the integers replace the float constants of the file, which are recognized by their values. Weights
of several layers may be equal, and a converter may merge equal constants, so that one constant
stands for all of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from kit.errors import BuildError
from kit.formats.graph_encodings import ConstantEncoding, name_tensor, read_argument

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule, Node

_CHANNELS, _GROUPS = 8, 4  # bits


@dataclass(frozen=True, eq=False)
class StoredWeight:
    """A weight of a graph as integers; equal only to itself, as layers may have equal weights.

    Attributes:
        name: of the layer, for messages.
        bits: 8 or 4.
        values: int8, of the weight's shape.
        scales: one; one for each index of `axis`; or [out, in / group] of 4 bits.
        axis: dimension of the output channels.
        floats: what the integers stand for, of the weight's shape.
    """

    name: str
    bits: int
    values: NDArray[np.int8]
    scales: NDArray[np.float32]
    axis: int
    floats: NDArray[np.float32]

    def list_orders(self, constant: NDArray[np.float32]) -> Iterator[tuple[int, ...]]:
        """Yield the orders of dimensions in which a constant is this weight; none if it is not.

        There are several if the weight is symmetric, such as one of zeros. Dimensions of one
        element are where the constant has them.
        """
        if constant.size != self.floats.size:
            return
        for order in itertools.permutations(range(self.floats.ndim)):
            turned = self.floats.transpose(order)
            if turned.shape == constant.shape and np.array_equal(turned, constant):
                yield order

    def is_constant(self, constant: NDArray[np.float32]) -> bool:
        """Return whether a constant is this weight, in any order of dimensions."""
        return any(True for _ in self.list_orders(constant))


def take_integer_weights(graph: GraphModule) -> tuple[StoredWeight, ...]:
    """Make a graph's integer weights float, and return them.

    Weights beside quantized activations are not taken: their layers compute in integers.

    Args:
        graph: is changed.
    """
    import torch
    import torch.ao.quantization.fx._decomposed  # registers the operators

    decomposed = torch.ops.quantized_decomposed
    bits = {
        decomposed.dequantize_per_channel.default: _CHANNELS,
        decomposed.dequantize_per_tensor.default: _CHANNELS,
        decomposed.dequantize_per_channel_group.default: _GROUPS,
    }
    if any("quantize_per_tensor" in str(node.target) and node.args[0].op != "get_attr"
           for node in graph.graph.nodes):  # fmt: skip
        return ()
    taken = []
    for node in list(graph.graph.nodes):
        if node.target in bits and node.args[0].op == "get_attr":
            taken.append(_take(graph, node, bits[node.target]))
    if taken:
        graph.graph.eliminate_dead_code()
        graph.recompile()
    return tuple(taken)


def _take(graph: GraphModule, node: Node, bits: int) -> StoredWeight:
    dequantize = cast("Callable[..., Tensor]", node.target)
    arguments = [read_argument(graph, argument) for argument in node.args]
    floats = dequantize(*arguments)
    source = cast("Node", node.args[0])
    name = f"{source.target}_float"
    if not hasattr(graph, name):
        graph.register_buffer(name, floats)
    users = ", ".join(name_tensor(user) for user in node.users)
    with graph.graph.inserting_before(node):
        node.replace_all_uses_with(graph.graph.get_attr(name))
    scales = np.atleast_1d(np.asarray(arguments[1], np.float32))
    axis = arguments[3] if bits == _CHANNELS and scales.size > 1 else 0
    return StoredWeight(
        name=f"the weight of {users}",
        bits=bits,
        values=arguments[0].numpy(),
        scales=scales,
        axis=int(axis),
        floats=floats.numpy(),
    )


class UnplacedWeights:
    """The weights of a graph, of which a file's constants are found one after the other."""

    def __init__(self, weights: Sequence[StoredWeight], word: str) -> None:
        """Take the weights of a graph.

        Args:
            weights: all of them.
            word: for the format, in messages.
        """
        self._weights, self._word = tuple(weights), word
        self._unplaced = list(weights)

    def find(self, constant: NDArray[np.float32]) -> StoredWeight | None:
        """Return a weight that a constant is; None if it is none.

        All weights that are equal to it are placed by this.
        """
        equal = [one for one in self._weights if one.is_constant(constant)]
        self._unplaced = [one for one in self._unplaced if one not in equal]
        return equal[0] if equal else None

    def check(self) -> None:
        """Check that all weights are placed.

        Raises:
            BuildError: one is not in the file.
        """
        if self._unplaced:
            raise refuse_lost(self._unplaced[0], self._word)


def drop_input_quantizers(graph: GraphModule) -> None:
    """Let layers take their float input where it is quantized per row as it comes.

    For runtimes whose layers with int4 weights do so by themselves.

    Args:
        graph: is changed.
    """
    import torch

    restore = torch.ops.quantized_decomposed.dequantize_per_token.default
    for node in list(graph.graph.nodes):
        if node.target is restore:
            node.replace_all_uses_with(node.args[0].args[0])
    graph.graph.eliminate_dead_code()
    graph.recompile()


def list_stored(weights: Sequence[StoredWeight]) -> tuple[ConstantEncoding, ...]:
    """Return the encodings of the weights of 8 bits, as a file has them."""
    return tuple(
        ConstantEncoding(one.name, one.values, one.scales)
        for one in weights
        if one.bits == _CHANNELS
    )


def refuse_lost(weight: StoredWeight, word: str) -> BuildError:
    """Return the error for a weight that a converter has changed or put elsewhere.

    Args:
        weight: of the graph.
        word: for the format.
    """
    return BuildError(
        f"{weight.name} is not in the {word} file as the graph has it, so that it cannot be "
        "stored in integers",
        "name the layer with --keep-float, or leave the precision out of --precision",
    )
