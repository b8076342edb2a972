"""Activation-range equalization that keeps ReLU6.

All channels of an activation share one scale, so a channel of small values is quantized with
few steps. Each output channel of a convolution is scaled up towards the largest range, and the
weights of the next layer are divided by the same factor. This is cross-layer equalization
(Nagel et al., arXiv 1906.04721, section 4.1) by the ranges of activations instead of weights.
Before a depthwise convolution the whole factor is used, which costs nothing because its weights
have a scale per channel. Between a depthwise and a 1x1 convolution, whose scale is shared by
the channels that it mixes, the square root is used.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from kit.corrections._layers import (
    Pair,
    compute_channel_maxima,
    find_rectified_pairs,
    is_depthwise,
    scale_pair,
)
from kit.corrections.interface import Correction

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule

    from kit.quantize.examples import ExamplesLike

# Values up to this multiple of the calibrated maximum stay below the clip. Calibrated with 32
# pictures, 1.1 clips values of other pictures (94 % agreement), 2 does not (98 %).
HEADROOM = 2.0
MAX_FACTOR = 64.0


def apply(
    model: GraphModule,
    examples: ExamplesLike,
    granularity: str,
    kept: Collection[str] = (),
    step: Callable[[float], None] = lambda done: None,
) -> None:
    """Equalize every convolution pair of a folded float model in place."""
    import torch

    pairs = list(find_rectified_pairs(model))
    maxima = compute_channel_maxima(model, examples, {pair.output for pair in pairs})
    with torch.no_grad():
        for pair in pairs:
            scale_pair(pair, compute_factor(pair, maxima[pair.output]))


def compute_factor(pair: Pair, maxima: Tensor) -> Tensor:
    """Return the factor [channels] by which the first layer grows, from its largest outputs.

    Args:
        pair: of layers.
        maxima: [channels], from `compute_channel_maxima`; a channel whose maximum is infinite,
                because it is not known, keeps its scale.
    """
    import torch

    known = maxima[maxima.isfinite()]
    if not len(known):
        return torch.ones_like(maxima)
    target = torch.tensor(pair.clip) if pair.clip < float("inf") else known.max() * HEADROOM
    factor = (target / (HEADROOM * maxima).clamp_min(1e-3)).clamp(1.0, MAX_FACTOR)
    if is_depthwise(pair.second):
        return factor
    if is_depthwise(pair.first):
        return factor.sqrt()
    return torch.ones_like(factor)


CORRECTION = Correction(
    "equalize",
    summary="scale channels towards the same activation range, keeping ReLU6",
    order=10,
    apply=apply,
)
