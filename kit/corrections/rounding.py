"""Error-compensated rounding of weights.

Weights are rounded one input at a time. The weights that are not yet rounded compensate the error
in the layer's output, as far as the inputs are correlated (GPTQ: Frantar et al., arXiv 2210.17323,
based on optimal brain surgeon). Inputs are processed in blocks, so that the effect of a block's
errors on the remaining weights is one matrix product (section 3.3 there). The remaining error of
the mean is subtracted from the bias, as in `bias`. Afterwards every weight lies on the int8 grid
of the original weights. The formats derive their grid from the largest weight; where rounding
moved that weight off the last step, their grid is finer and they round again.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from kit.corrections.interface import Correction

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.fx import GraphModule

    from kit.corrections._layers import Layer
    from kit.quantize.examples import ExamplesLike

DAMPING = 0.01  # share of the mean square that is added to the diagonal: inputs outnumber samples
BATCH = 8
BLOCK = 128  # inputs
# Minimum number of positions from which the moments of inputs are computed, and minimum per
# input. Neighbouring positions are alike: MobileNetV2's first layers have 400 thousand.
POSITIONS = 2**13
POSITIONS_PER_INPUT = 16


def apply(
    model: GraphModule,
    examples: ExamplesLike,
    granularity: str,
    kept: Collection[str] = (),
    step: Callable[[float], None] = lambda done: None,
) -> None:
    """Round the weights and correct the biases of a folded float model in place."""
    import torch

    from kit.corrections._layers import replace_parameters
    from kit.corrections._streams import correct
    from kit.quantize.nodes import get_layer

    def rounding(layer: Layer, value: Tensor) -> Tensor:
        return _rounded(layer, value, granularity)

    rounded = correct(model, examples, rounding, kept, step)
    with torch.no_grad():
        for name, weight in rounded.items():
            replace_parameters(get_layer(model, name), weight=weight)


def _rounded(layer: Layer, value: Tensor, granularity: str) -> Tensor:
    """Return the weight [out, ...] of a layer, rounded for inputs like `value`."""
    from kit.quantize.fake_quantizers import compute_weight_step

    groups: int = getattr(layer, "groups", 1)
    step = compute_weight_step(layer.weight, granularity).expand(
        len(layer.weight), *layer.weight.shape[1:]
    )
    weight = layer.weight.reshape(groups, -1, layer.weight[0].numel())
    step = step.reshape(groups, -1, layer.weight[0].numel())[..., :1]
    return compensate(weight, step, compute_moments(layer, value, groups)).view_as(layer.weight)


def compute_moments(layer: Layer, value: Tensor, groups: int) -> Tensor:
    """Return the second moments [groups, inputs, inputs] of what the weights multiply."""
    from torch import nn

    if isinstance(layer, nn.Linear):
        columns = value.reshape(1, -1, value.shape[-1]).transpose(1, 2)
        return columns @ columns.transpose(1, 2)
    thinning = choose_stride(layer, value)
    products = (_products(layer, part, groups, thinning) for part in value.split(BATCH))
    return functools.reduce(operator.add, products)


def choose_stride(layer: nn.Conv2d, value: Tensor) -> int:
    """Return n, to use every n-th position of the output in both directions."""
    positions = max(POSITIONS, POSITIONS_PER_INPUT * layer.weight[0].numel())
    down, across = (int(value.shape[2 + i] // layer.stride[i]) for i in (0, 1))
    return max(1, min(math.isqrt(len(value) * down * across // positions), down, across))


def _products(layer: nn.Conv2d, value: Tensor, groups: int, thinning: int) -> Tensor:
    """Return sums of products of a convolution's inputs, [groups, inputs, inputs]."""
    from torch.nn import functional

    assert not isinstance(layer.padding, str)  # `fold` replaces names by numbers
    down, across = layer.padding
    padded = functional.pad(value, (across, across, down, down))
    stride = tuple(s * thinning for s in layer.stride)
    # Start in the middle of a stride: the zeros of the border would be overrepresented.
    begin = [s * (thinning // 2) for s in layer.stride]
    padded = padded[:, :, begin[0] :, begin[1] :]
    if layer.kernel_size == (1, 1):
        inputs = padded[:, :, :: stride[0], :: stride[1]].flatten(2)
    else:
        inputs = functional.unfold(padded, layer.kernel_size, layer.dilation, 0, stride)
    columns: Tensor = inputs.unflatten(1, (groups, -1)).permute(1, 2, 0, 3).flatten(2)
    return columns @ columns.transpose(1, 2)


def compensate(weight: Tensor, step: Tensor, moments: Tensor) -> Tensor:
    """Round weights [G, out, in] to a grid, given the inputs' second moments [G, in, in].

    With moments L L^T, L lower triangular, errors e [in] of one output cost |e L|^2, and entry j
    of e L depends on e_j and the errors of inputs after j only. From the last input to the first,
    each weight is moved to where the entry would be zero, and then rounded. Optimal brain surgeon
    does the same with the inverse of the moments, which is not needed here.

    Args:
        weight: one matrix per group of a convolution.
        step: of the grid, [G, out, 1].
        moments: sums of products of inputs, one matrix per group.
    """
    import torch

    from kit.quantize.fake_quantizers import STEPS

    # The input with the largest moment comes last, and is rounded first.
    order = moments.diagonal(dim1=1, dim2=2).argsort(dim=1)
    across = order[:, None, :].expand_as(weight)
    target = weight.gather(2, across).transpose(1, 2).contiguous()  # [G, in, out]
    moved, grid, step = target.clone(), torch.empty_like(target), step.transpose(1, 2)
    ties = _ties(moments, order, weight.dtype)
    for end in range(weight.shape[2], 0, -BLOCK):
        begin = max(0, end - BLOCK)
        for i in range(end - 1, begin - 1, -1):
            one = slice(i, i + 1)
            grid[:, one] = (moved[:, one] / step).round_().clamp_(-STEPS, STEPS).mul_(step)
            error = target[:, one] - grid[:, one]
            moved[:, begin:i].addcmul_(ties[:, i, begin:i, None], error)
        errors = target[:, begin:end] - grid[:, begin:end]
        moved[:, :begin].baddbmm_(ties[:, begin:end, :begin].transpose(1, 2), errors)
    return torch.empty_like(weight).scatter_(2, across, grid.transpose(1, 2))


def _ties(moments: Tensor, order: Tensor, dtype: torch.dtype) -> Tensor:
    """Return [G, i, j]: how much an error in input i moves the weight of input j < i."""
    import torch

    square = moments.gather(1, order[:, :, None].expand_as(moments))
    square = square.gather(2, order[:, None, :].expand_as(moments)).double()
    diagonal = square.diagonal(dim1=1, dim2=2)
    diagonal.add_(DAMPING * diagonal.mean(1, keepdim=True) + 1e-12)
    lower: Tensor = torch.linalg.cholesky(square)
    return (lower / lower.diagonal(dim1=1, dim2=2)[:, None, :]).to(dtype)


CORRECTION = Correction(
    "rounding",
    summary="round weights so that their errors cancel, and correct the biases",
    order=30,
    apply=apply,
)
