"""Activation observers with the same names for torch.ao and torchao.

Both packages have the same histogram observer; only its final search for the range is replaced
here, while it fills the histogram with the package's own code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from kit.errors import UnknownName

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    # torchao's has the same methods and attributes, and no types.
    from torch.ao.quantization.observer import UniformQuantizationObserverBase

    Observer = UniformQuantizationObserverBase


class Observers(Protocol):
    """The observers of a package, by its own names."""

    @property
    def FixedQParamsObserver(self) -> Callable[..., Observer]:  # noqa: N802
        """Return the observer of that name."""

    @property
    def HistogramObserver(self) -> type[Observer]:  # noqa: N802
        """Return the observer of that name."""

    @property
    def MinMaxObserver(self) -> type[Observer]:  # noqa: N802
        """Return the observer of that name."""

    @property
    def MovingAverageMinMaxObserver(self) -> type[Observer]:  # noqa: N802
        """Return the observer of that name."""

    @property
    def PerChannelMinMaxObserver(self) -> type[Observer]:  # noqa: N802
        """Return the observer of that name."""


# Takes a histogram [bins] and its two ends; returns the two ends of the range to quantize.
RangeSearch = Callable[["Tensor", "Tensor", "Tensor"], tuple["Tensor", "Tensor"]]

NAMES = ("histogram", "minmax", "moving-average", "mse", "percentile", "search")
PERCENTILE = 0.9999
# Values of one batch for a percentile. Of 2 million, 200 are beyond each end; counting all values
# took half of the time of calibration.
SAMPLE = 2**19


def choose_activation_observer(name: str, observers: Observers) -> type[Observer]:
    """Return the observer class of a name, from one package's observer module.

    Args:
        name: one of `NAMES`.
        observers: ``torch.ao.quantization.observer`` or ``torchao.quantization.pt2e``.

    Raises:
        UnknownName: there is no such observer.
    """
    check(name)
    searches = {
        "percentile": compute_percentile_range,
        "search": compute_percentile_range,
        "mse": compute_mse_range,
    }
    if name in searches:
        return _searching(observers.HistogramObserver, searches[name])
    return {
        "histogram": observers.HistogramObserver,
        "minmax": observers.MinMaxObserver,
        "moving-average": observers.MovingAverageMinMaxObserver,
    }[name]


def choose_weight_observer(
    granularity: str, observers: Observers
) -> tuple[type[Observer], torch.qscheme]:
    """Return the min-max observer class and the qscheme of symmetric weights."""
    import torch

    if granularity == "per-channel":
        return observers.PerChannelMinMaxObserver, torch.per_channel_symmetric
    return observers.MinMaxObserver, torch.per_tensor_symmetric


def check(name: str) -> None:
    """Raise `UnknownName` unless there is an observer of that name."""
    if name not in NAMES:
        raise UnknownName.among("observer", name, NAMES)


def _searching(histogram_observer: type[Observer], search: RangeSearch) -> type[Observer]:
    class SearchingObserver(histogram_observer):  # type: ignore[misc, valid-type]  # of the package
        """The histogram observer with another search for the final range."""

        def forward(self, x_orig: Tensor) -> Tensor:
            every = max(1, x_orig.numel() // SAMPLE) if search is compute_percentile_range else 1
            # An odd stride, so as not to sample the same columns of pictures repeatedly.
            super().forward(x_orig.flatten()[:: every | 1] if every > 1 else x_orig)
            return x_orig

        def _non_linear_param_search(self) -> tuple[Tensor, Tensor]:
            return search(self.histogram, self.min_val, self.max_val)

    return SearchingObserver


def compute_percentile_range(histogram: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Return the range that leaves out 0.01 % of a histogram's mass at each end."""
    import torch

    share = histogram.cumsum(0) / histogram.sum()
    last = len(histogram) - 1
    first_bin = int(torch.searchsorted(share, 1 - PERCENTILE).clamp(max=last))
    last_bin = int(torch.searchsorted(share, PERCENTILE).clamp(max=last))
    width = (high - low) / len(histogram)
    return low + first_bin * width, low + (last_bin + 1) * width


def compute_mse_range(histogram: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Return the range with the minimum mean squared error of 8-bit rounding and clipping.

    The whole range is shrunk towards zero in steps of 1 %. torch's own histogram search shrinks
    from both ends, and stops at the first range that is no better.
    """
    import torch

    width = (high - low) / len(histogram)
    centres = low + (torch.arange(len(histogram), device=histogram.device) + 0.5) * width
    best, smallest = (low, high), float("inf")
    for percent in range(100, 19, -1):
        bottom, top = low.clamp(max=0) * percent / 100, high.clamp(min=0) * percent / 100
        clipped = (centres - centres.clamp(float(bottom), float(top))) ** 2
        rounding = ((top - bottom) / 255) ** 2 / 12
        error = float((histogram * (clipped + rounding)).sum())
        if error < smallest:
            best, smallest = (bottom, top), error
    return best
