"""Error-compensated rounding of weights.

Weights are rounded one input at a time; the error that this makes in the layer's output is
taken up by the weights that are still to be rounded, as far as inputs that go together allow
(Frantar et al., arXiv 2210.17323, after optimal brain surgeon). What remains of the mean is
taken off the bias, as `bias` does. Afterwards every weight lies on the int8 grid that the
weights before had. The formats take their grid from the largest weight; where rounding moved
that one off the last step, their grid is finer and they round once more.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from kit.corrections._contract import Info

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule

INFO = Info(summary="round weights so that their errors cancel, and correct the biases", order=30)

DAMPING = 0.01  # of the mean square of an input, added to all: few pictures, many inputs
BATCH = 8


def apply(model: GraphModule, images: Tensor, granularity: str, kept: Collection[str] = ()) -> None:
    """Round the weights and correct the biases of a folded float model in place."""
    import torch

    from kit.corrections._streams import correct

    def rounding(layer: Any, value: Tensor) -> Tensor:
        return _rounded(layer, value, granularity)

    rounded = correct(model, images, rounding, kept)
    with torch.no_grad():
        for name, weight in rounded.items():
            model.get_submodule(name).weight.copy_(weight)


def _rounded(layer: Any, value: Tensor, granularity: str) -> Tensor:
    """Return the weight [out, ...] of a layer, rounded for inputs like `value`."""
    from kit.quantize._simulate import weight_step

    groups: int = getattr(layer, "groups", 1)
    step = weight_step(layer.weight, granularity).expand(len(layer.weight), *layer.weight.shape[1:])
    weight = layer.weight.reshape(groups, -1, layer.weight[0].numel())
    step = step.reshape(groups, -1, layer.weight[0].numel())[..., :1]
    moments = sum(_moments(layer, part, groups) for part in value.split(BATCH))
    return compensate(weight, step, moments).view_as(layer.weight)


def _moments(layer: Any, value: Tensor, groups: int) -> Any:
    """Return the second moments [groups, inputs, inputs] of what the weights multiply."""
    from torch import nn
    from torch.nn import functional

    if isinstance(layer, nn.Linear):
        columns = value.reshape(1, -1, value.shape[-1]).transpose(1, 2)
    elif layer.kernel_size == (1, 1) and layer.stride == (1, 1) and groups == 1:
        columns = value.flatten(2).transpose(0, 1).flatten(1)[None]
    else:
        unfolded = functional.unfold(
            value, layer.kernel_size, layer.dilation, layer.padding, layer.stride
        )
        columns = unfolded.unflatten(1, (groups, -1)).permute(1, 2, 0, 3).flatten(2)
    return columns @ columns.transpose(1, 2)


def compensate(weight: Tensor, step: Tensor, moments: Tensor) -> Tensor:
    """Round weights [G, out, in] to a grid, given the inputs' second moments [G, in, in].

    Args:
        weight: one matrix per group of a convolution.
        step: of the grid, [G, out, 1].
        moments: sums of products of inputs, one matrix per group.
    """
    import torch

    from kit.quantize._simulate import STEPS

    order = moments.diagonal(dim1=1, dim2=2).argsort(dim=1, descending=True)
    across = order[:, None, :].expand_as(weight)
    left = weight.gather(2, across).clone()
    square = moments.gather(1, order[:, :, None].expand_as(moments))
    square = square.gather(2, order[:, None, :].expand_as(moments)).double()
    diagonal = square.diagonal(dim1=1, dim2=2)
    diagonal.add_(DAMPING * diagonal.mean(1, keepdim=True) + 1e-12)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(square))
    upper = torch.linalg.cholesky(inverse, upper=True).to(weight.dtype)
    for i in range(weight.shape[2]):
        column = left[:, :, i : i + 1]
        grid = (column / step).round().clamp(-STEPS, STEPS) * step
        error = (column - grid) / upper[:, i : i + 1, i : i + 1]
        left[:, :, i + 1 :] -= error * upper[:, i : i + 1, i + 1 :]
        left[:, :, i : i + 1] = grid
    return torch.empty_like(left).scatter_(2, across, left)
