"""Modules that round weights and activations to the formats' grids, in float.

Gradients are by the straight-through estimator (Jacob et al., arXiv 1712.05877, section 3).
`torch.fake_quantize_per_tensor_affine` is ten times slower on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

    from kit.quantize.observers import Observer


STEPS = 127  # of a symmetric int8 weight
LEVELS = 255  # of an 8-bit activation
# Takes a tensor of the network and its gradient, of the same shape.
Watcher = Callable[["Tensor", "Tensor"], None]


def round_weight(weight: Tensor, granularity: str) -> Tensor:
    """Return a weight [out, ...] rounded to symmetric int8 steps."""
    step = compute_weight_step(weight, granularity)
    return (weight / step).round() * step


def compute_weight_step(weight: Tensor, granularity: str) -> Tensor:
    """Return the step of a weight's grid, [out, 1, ...] or [1, 1, ...]."""
    flat = weight.flatten(1) if granularity == "per-channel" else weight.reshape(1, -1)
    step = (flat.abs().amax(1) / STEPS).clamp_min(1e-12)
    return step.view(-1, *[1] * (weight.dim() - 1))


def round_activation(value: Tensor, low: float, high: float) -> Tensor:
    """Return a tensor rounded to the 256 levels from `low` to `high`, a new one."""
    step = (high - low) / LEVELS
    rounded = (value - low).div_(step).round_().clamp_(0, LEVELS)
    return rounded.mul_(step).add_(low)


class FakeWeight(nn.Module):
    """A parametrization that rounds a weight and lets gradients through."""

    def __init__(self, granularity: str) -> None:
        super().__init__()
        self.granularity = granularity
        self.enabled = True

    def forward(self, weight: Tensor) -> Tensor:
        """Return the rounded weight."""
        if not self.enabled:
            return weight
        with torch.no_grad():
            error = round_weight(weight, self.granularity) - weight
        return weight + error


class FakeActivation(nn.Module):
    """Rounds a tensor to a range, or lets it through.

    Attributes:
        observer: sets the range.
        mode: ``quantize`` or ``off``.
        watcher: is shown the tensor and its gradient on every way back, while mode is ``off``.
        clip: the largest value that the tensor can have; infinity if nothing clips it.
    """

    def __init__(self, observer: Observer) -> None:
        super().__init__()
        self.observer = observer
        self.mode: Literal["quantize", "off"] = "off"
        self.watcher: Watcher | None = None
        self.clip = float("inf")
        self.low = self.high = 0.0

    def forward(self, value: Tensor) -> Tensor:
        """Return the value, rounded if the mode is ``quantize``."""
        if self.mode != "quantize":
            return value if self.watcher is None else _watched(value, self.watcher)
        rounded: Tensor = _Round.apply(value, self.low, self.high)
        return rounded

    def freeze(self, margin: float = 1.0) -> None:
        """Set the range to the observed one, widened by `margin`, and start to quantize."""
        scale, zero = self.observer.calculate_qparams()
        self.low = -float(zero) * float(scale) * margin
        self.high = (LEVELS - float(zero)) * float(scale) * margin
        self.mode = "quantize"


class _Context(Protocol):
    """The context that the forward pass saves for the backward pass."""

    watcher: Watcher

    @property
    def saved_tensors(self) -> tuple[Tensor, ...]: ...

    def save_for_backward(self, *tensors: Tensor) -> None: ...


class _Round(torch.autograd.Function):
    """Round to 256 levels; gradients pass inside the range only."""

    @staticmethod
    def forward(ctx: _Context, value: Tensor, low: float, high: float) -> Tensor:
        if value.requires_grad:
            ctx.save_for_backward((value >= low) & (value <= high))
        return round_activation(value, low, high)

    @staticmethod
    def backward(ctx: _Context, *grads: Tensor) -> tuple[Tensor, None, None]:
        (inside,) = ctx.saved_tensors
        return grads[0] * inside, None, None


def _watched(value: Tensor, watcher: Watcher) -> Tensor:
    watched: Tensor = _Watch.apply(value, watcher)
    return watched


class _Watch(torch.autograd.Function):
    """The identity, which calls a watcher with tensor and gradient in the backward pass."""

    @staticmethod
    def forward(ctx: _Context, value: Tensor, watcher: Watcher) -> Tensor:
        ctx.save_for_backward(value)
        ctx.watcher = watcher
        return value.view_as(value)

    @staticmethod
    def backward(ctx: _Context, *grads: Tensor) -> tuple[Tensor, None]:
        (value,) = ctx.saved_tensors
        ctx.watcher(value, grads[0])
        return grads[0], None
