"""Activation observers, the same names for torch.ao and torchao.

Both packages have the same histogram observer; only the search for the range that it ends
with is replaced here, so that what fills the histogram stays theirs.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

from kit.errors import UnknownName

if TYPE_CHECKING:
    from torch import Tensor

NAMES = ("histogram", "minmax", "moving-average", "percentile")
PERCENTILE = 0.9999
# Smallest scale of a weight. XNNPACK's configuration has 2**-12, which is coarser than int8
# for channels whose weights all lie below 0.03; equalization makes many such channels.
WEIGHT_EPS = 2**-24


def activation_observer(name: str, observers: ModuleType) -> Any:
    """Return the observer class of a name, from one package's observer module.

    Args:
        name: one of `NAMES`.
        observers: ``torch.ao.quantization.observer`` or ``torchao.quantization.pt2e``.

    Raises:
        UnknownName: there is no such observer.
    """
    check(name)
    if name == "percentile":
        return _percentile(observers.HistogramObserver)
    return {
        "histogram": observers.HistogramObserver,
        "minmax": observers.MinMaxObserver,
        "moving-average": observers.MovingAverageMinMaxObserver,
    }[name]


def weight_observer(granularity: str, observers: ModuleType) -> tuple[Any, Any]:
    """Return the min-max observer class and the qscheme of symmetric weights."""
    import torch

    if granularity == "per-channel":
        return observers.PerChannelMinMaxObserver, torch.per_channel_symmetric
    return observers.MinMaxObserver, torch.per_tensor_symmetric


def check(name: str) -> None:
    """Raise `UnknownName` unless there is an observer of that name."""
    if name not in NAMES:
        raise UnknownName.among("observer", name, NAMES)


def _percentile(histogram_observer: Any) -> Any:
    class PercentileObserver(histogram_observer):  # type: ignore[misc]
        """Clips 0.01 % of the values at each end, whatever the error that this makes."""

        def _non_linear_param_search(self) -> tuple[Tensor, Tensor]:
            return percentile_range(self.histogram, self.min_val, self.max_val)

    return PercentileObserver


def percentile_range(histogram: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Return the range that leaves out 0.01 % of a histogram's mass at each end."""
    import torch

    share = histogram.cumsum(0) / histogram.sum()
    last = len(histogram) - 1
    first_bin = int(torch.searchsorted(share, 1 - PERCENTILE).clamp(max=last))
    last_bin = int(torch.searchsorted(share, PERCENTILE).clamp(max=last))
    width = (high - low) / len(histogram)
    return low + first_bin * width, low + (last_bin + 1) * width
