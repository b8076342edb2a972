"""Costs of layers and of whole models, and the twin with full convolutions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass

CONV_3X3, DEPTHWISE, CONV_1X1 = "3x3 conv", "depthwise conv", "1x1 conv"
LINEAR, OTHER = "fully connected", "other"
KINDS = (CONV_3X3, DEPTHWISE, CONV_1X1, LINEAR, OTHER)


@dataclass(frozen=True)
class LayerCost:
    """Cost of one layer.

    Attributes:
        name: of the module, or of the graph node of an operation outside of modules.
        kind: one of `KINDS`.
        output: shape without the batch, [C, H, W] or [features].
        multiply_adds: per picture.
        parameters: weights without biases; 0 for the second and later calls of a module.
        kernel: height and width of a convolution's kernel.
        mixes: for a 1x1 convolution, the name of the depthwise convolution that feeds it, or None.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    multiply_adds: int
    parameters: int
    kernel: tuple[int, ...] | None = None
    mixes: str | None = None


@dataclass(frozen=True)
class Total:
    """Sums over several layers; `layers` is their number."""

    layers: int
    multiply_adds: int
    parameters: int


@dataclass(frozen=True)
class Cost:
    """Cost of a model.

    Attributes:
        layers: in the order in which they are computed.
        stored: parameters with biases, and weight and bias of BatchNorm, as PyTorch counts them;
            None for a twin, which is never built.
    """

    layers: tuple[LayerCost, ...]
    stored: int | None = None

    @property
    def total(self) -> Total:
        """The sums over all layers."""
        return _sum(self.layers)

    def by_kind(self) -> dict[str, Total]:
        """Return the total of each of `KINDS`, including those that do not occur."""
        return {kind: _sum(x for x in self.layers if x.kind == kind) for kind in KINDS}

    def with_full_convolutions(self) -> Cost:
        """Return the cost of the twin; a model without separable pairs is its own twin."""
        first = {layer.name: layer for layer in self.layers if layer.kind == DEPTHWISE}
        mixed = {layer.mixes for layer in self.layers if layer.mixes}
        kept = [layer for layer in self.layers if layer.name not in mixed]
        return Cost(tuple(_merged(first[x.mixes], x) if x.mixes else x for x in kept))


def _sum(layers: Iterable[LayerCost]) -> Total:
    counted = list(layers)
    multiply_adds = sum(layer.multiply_adds for layer in counted)
    return Total(len(counted), multiply_adds, sum(layer.parameters for layer in counted))


def _merged(depthwise: LayerCost, pointwise: LayerCost) -> LayerCost:
    """Return the full convolution that replaces the two."""
    kernel = depthwise.kernel or (1, 1)
    return LayerCost(
        name=f"{depthwise.name} + {_without_shared_prefix(pointwise.name, depthwise.name)}",
        kind=CONV_3X3 if kernel == (3, 3) else OTHER,
        output=pointwise.output,
        multiply_adds=pointwise.multiply_adds * math.prod(kernel),
        parameters=pointwise.parameters * math.prod(kernel),
        kernel=kernel,
    )


def _without_shared_prefix(name: str, other: str) -> str:
    parts = name.split(".")
    pairs = zip(parts, other.split("."), strict=False)
    shared = list(itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
    return ".".join(parts[len(shared) :])
