"""Stability of samples: pure functions of the samples of each process.

The interval of the median (`kit.results.statistics`) assumes that processes are independent
draws from one distribution. These functions look for violations of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kit.results import statistics
from kit.results.statistics import Floats

HALF_WIDTH = 0.02  # of the interval, as a share of the median
SPREAD = 0.05  # between the medians of processes
DRIFT = 0.05  # from the first to the last third of a process
DRIFT_P = 0.001  # p-value of a drift; so small because neighbouring samples are correlated
MODE_SHARE = 0.15  # of the samples, in the smaller of two groups
MODE_DISTANCE = 0.08  # between the groups, as a share of the median
MODE_VALLEY = 0.5  # density between them, as a share of the lower peak
MIN_FOR_SHAPE = 20
_MAX_FOR_SHAPE = 2000  # samples for the density estimate
_GRID = 256


@dataclass(frozen=True)
class Stability:
    """Stability of a result; shares are of the median.

    Attributes:
        half_width: of the 95 % interval of the median over processes; None below three
            processes, and below six samples.
        medians: of the processes, in ms.
        spread: largest minus smallest median of a process; None for one process.
        drift: the largest change within a process; positive is slower, 0 is not significant.
        modes: the two peaks of a bimodal distribution in ms, or None.
    """

    half_width: float | None
    medians: tuple[float, ...]
    spread: float | None
    drift: float
    modes: tuple[float, float] | None

    @property
    def stable(self) -> bool:
        """Whether the median can be quoted without a caveat."""
        return (
            self.half_width is not None
            and self.half_width <= HALF_WIDTH
            and (self.spread or 0.0) <= SPREAD
            and abs(self.drift) <= DRIFT
            and self.modes is None
        )


def assess(processes: Sequence[Sequence[int]]) -> Stability:
    """Assess the samples in nanoseconds of one or more processes, in chronological order.

    Raises:
        ValueError: a process has no samples.
    """
    pooled = [ns for samples in processes for ns in samples]
    medians = tuple(statistics.compute_median_ms(samples) for samples in processes)
    middle = statistics.compute_median_ms(pooled)
    return Stability(
        half_width=compute_half_width(processes),
        medians=medians,
        spread=(max(medians) - min(medians)) / middle if len(medians) > 1 else None,
        drift=max((compute_drift(samples) for samples in processes), key=abs),
        modes=find_modes(pooled),
    )


def compute_half_width(processes: Sequence[Sequence[int]]) -> float | None:
    """Return half the width of the median's 95 % interval as a share; None if it has none.

    Raises:
        ValueError: a process has no samples.
    """
    estimate = statistics.estimate(processes)
    if estimate.interval is None:
        return None
    return (estimate.interval.high - estimate.interval.low) / 2 / estimate.median


def compute_drift(samples: Sequence[int]) -> float:
    """Return the change from the first to the last third, 0 if it is not significant.

    Significance is by Mann-Whitney's rank test (`scipy.stats.mannwhitneyu`).
    """
    third = len(samples) // 3
    if third < MIN_FOR_SHAPE // 2:
        return 0.0
    from scipy import stats

    early, late = np.asarray(samples[:third]), np.asarray(samples[-third:])
    if stats.mannwhitneyu(early, late).pvalue > DRIFT_P:
        return 0.0
    return float((np.median(late) - np.median(early)) / np.median(samples))


def find_modes(samples: Sequence[int]) -> tuple[float, float] | None:
    """Return the two peaks in ms of a bimodal distribution, None if it is not bimodal.

    A kernel density of the samples without their slowest 5 % is searched for two peaks
    with a valley between them; a few slow outliers are a tail, not a second group.
    """
    if len(samples) < MIN_FOR_SHAPE:
        return None
    values = np.asarray(samples, dtype=np.float64) / statistics.NS_PER_MS
    values = values[values <= np.percentile(values, 95)]
    values = values[:: -(-len(values) // _MAX_FOR_SHAPE)]
    grid, density = _density(values)
    return _two_peaks(values, grid, density)


def _density(values: Floats) -> tuple[Floats, Floats]:
    from scipy import stats

    median, deviation = float(np.median(values)), float(values.std())
    iqr = float(stats.iqr(values)) / 1.34
    # Silverman's rule; the lower bound keeps the ticks of a coarse clock from being peaks.
    width = max(0.9 * min(deviation, iqr or deviation) * len(values) ** -0.2, 0.01 * median)
    margin = 3 * width
    grid = np.linspace(values.min() - margin, values.max() + margin, _GRID)
    if deviation == 0.0:
        return grid, stats.norm.pdf(grid, median, width)
    return grid, stats.gaussian_kde(values, bw_method=width / values.std(ddof=1))(grid)


def _two_peaks(values: Floats, grid: Floats, density: Floats) -> tuple[float, float] | None:
    from scipy import signal

    peaks, _ = signal.find_peaks(density)
    highest = sorted(peaks, key=lambda i: -density[i])[:2]
    if len(highest) < 2:
        return None
    left, right = sorted(highest)
    valley = left + int(density[left:right].argmin())
    share = float(np.mean(values <= grid[valley]))
    apart = (grid[right] - grid[left]) / float(np.median(values))
    if (
        min(share, 1 - share) < MODE_SHARE
        or apart < MODE_DISTANCE
        or density[valley] > MODE_VALLEY * min(density[left], density[right])
    ):
        return None
    return float(grid[left]), float(grid[right])
