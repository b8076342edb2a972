"""Example inputs of a network, for calibration, corrections and tracing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from kit.signature import Samples
from kit.varying import Varying

if TYPE_CHECKING:
    from torch import Tensor

    from kit.quantize.nodes import NodeValue

    # Like numpy's ArrayLike: a batch [N, ...] stands for the examples of a network with one input.
    ExamplesLike: TypeAlias = "Examples | Tensor"
    Call: TypeAlias = "tuple[Tensor, ...]"  # the arguments of one call of the network


@dataclass(frozen=True)
class Examples:
    """Inputs of N inferences.

    Attributes:
        tensors: per input [N, ...], without a leading batch of one.
        shapes: per input, of one inference.
        at_once: whether several inferences can be one call, with a batch dimension first.
        varying: dimensions of the inputs that may vary.
    """

    tensors: tuple[Tensor, ...]
    shapes: tuple[tuple[int, ...], ...]
    at_once: bool = True
    varying: Varying = ()

    def __len__(self) -> int:
        return len(self.tensors[0])

    @property
    def elements(self) -> int:
        """Return the number of values of the largest input of one inference."""
        return max(math.prod(shape) for shape in self.shapes)

    def first(self) -> Call:
        """Return the arguments of one inference."""
        return self._one(0)

    def split(self, count: int) -> list[Call]:
        """Return calls of up to `count` inferences each; of one without a batch dimension."""
        if not self.at_once:
            return [self._one(index) for index in range(len(self))]
        return list(zip(*(tensor.split(count) for tensor in self.tensors), strict=True))

    def take(self, rows: Sequence[int] | slice) -> Examples:
        """Return some of the examples."""
        index = rows if isinstance(rows, slice) else list(rows)
        return Examples(
            tuple(t[index] for t in self.tensors), self.shapes, self.at_once, self.varying
        )

    def _one(self, index: int) -> Call:
        pairs = zip(self.tensors, self.shapes, strict=True)
        return tuple(tensor[index].reshape(shape) for tensor, shape in pairs)


def as_examples(given: ExamplesLike) -> Examples:
    """Return examples; a tensor is a batch [N, ...] of the only input."""
    if isinstance(given, Examples):
        return given
    return Examples((given,), ((1, *given.shape[1:]),))


def from_samples(samples: Samples, at_once: bool, varying: Varying = ()) -> Examples:
    """Return arrays as examples, without copying."""
    import torch

    tensors = tuple(torch.from_numpy(array) for array in samples.arrays)
    return Examples(tensors, tuple(spec.shape for spec in samples.specs), at_once, varying)


def join_outputs(output: NodeValue) -> Tensor:
    """Return the floating-point outputs of one call side by side, [N, values].

    Args:
        output: a tensor, or a sequence of tensors.
    """
    import torch

    tensors: Sequence[Tensor] = (output,) if isinstance(output, torch.Tensor) else output
    floats = [tensor for tensor in tensors if tensor.is_floating_point()]
    if len(floats) == 1 and floats[0].dim() == 2:
        return floats[0]
    rows = [t.reshape(len(t), -1) if t.dim() > 1 else t.reshape(1, -1) for t in floats]
    if len({len(row) for row in rows}) > 1:
        rows = [row.reshape(1, -1) for row in rows]
    return torch.cat(rows, 1)
