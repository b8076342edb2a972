"""Statistics of latency samples and of picture counts: pure functions of raw numbers.

Samples come in nanoseconds, as runners report them; results are in milliseconds. Fresh
processes differ more than the samples of one do (cores, memory layout, chip temperature),
so intervals are over processes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
TimeSamples: TypeAlias = Sequence[int] | NDArray[np.int64] | NDArray[np.float64]

NS_PER_MS = 1e6
SEED = 0
RESAMPLES = 2000
# Above this size a bootstrap would take seconds, and its limit has a closed form.
BOOTSTRAP_LIMIT = 10_000
# The widest interval of the median of n samples, smallest to largest, covers 1 - 2 / 2**n:
# five give 93.75 %, so fewer than six allow no 95 % interval at all.
MIN_SAMPLES = 6
# With two processes Student's t has one degree of freedom: the interval would be 12.7 times
# their standard error, too wide to be useful.
MIN_PROCESSES = 3
# "No difference" is a claim as well: it is made if the whole interval is within this margin.
MARGIN = 0.05
_BATCH_ELEMENTS = 2_000_000  # resampled values held at a time: 16 MB


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval, in the unit of the number it belongs to."""

    low: float
    high: float

    @property
    def near_one(self) -> bool:
        """Whether the whole interval of a ratio is within `MARGIN` of 1."""
        return self.low >= 1 - MARGIN and self.high <= 1 + MARGIN


@dataclass(frozen=True)
class Estimate:
    """The median of a result in milliseconds, and its interval.

    Attributes:
        median: of the samples of all processes.
        interval: 95 %, over fresh processes; None below `MIN_PROCESSES` processes, from which
            no spread can be estimated, and below `MIN_SAMPLES` samples.
    """

    median: float
    interval: Interval | None

    @property
    def low(self) -> float:
        """The low end of the interval, or the median if there is none."""
        return self.median if self.interval is None else self.interval.low


@dataclass(frozen=True)
class Speedup:
    """How many times as fast: baseline median over own median.

    Attributes:
        ratio: above 1 is faster than the baseline.
        interval: 95 %, of the ratio; None when one side has too few processes or samples.
    """

    ratio: float
    interval: Interval | None

    @property
    def clear(self) -> bool:
        """Whether the interval excludes 1, so that the sign of the difference is certain."""
        return self.interval is not None and not self.interval.low <= 1 <= self.interval.high


def _ms(samples_ns: TimeSamples) -> NDArray[np.float64]:
    values = np.asarray(samples_ns, dtype=np.float64) / NS_PER_MS
    if values.size == 0:
        raise ValueError("no samples")
    return values


def compute_median_ms(samples_ns: TimeSamples) -> float:
    """Return the median in milliseconds.

    Raises:
        ValueError: there are no samples.
    """
    return float(np.median(_ms(samples_ns)))


def compute_percentile_ms(samples_ns: TimeSamples, q: float) -> float:
    """Return the q-th percentile (0..100) in milliseconds, interpolated linearly.

    Raises:
        ValueError: there are no samples, or q is not between 0 and 100.
    """
    return float(np.percentile(_ms(samples_ns), q))


def compute_median_ci95_ms(samples_ns: TimeSamples) -> Interval | None:
    """Return the 95 % interval of the median of one process, None below six samples.

    In milliseconds. It assumes independent samples of one distribution, so for samples of
    several processes it is too narrow; use `estimate` for those.

    Percentile bootstrap (`scipy.stats.bootstrap`) with a fixed seed: equal samples give
    equal intervals. Above `BOOTSTRAP_LIMIT` samples it is the order-statistic interval
    (`scipy.stats.quantile_test`) that the bootstrap of a median converges to.

    Raises:
        ValueError: there are no samples.
    """
    values = _ms(samples_ns)
    if values.size < MIN_SAMPLES:
        return None
    if values.size > BOOTSTRAP_LIMIT:
        return bound_median(values)
    return _bootstrap(values)


def _bootstrap(values: NDArray[np.float64]) -> Interval:
    from scipy import stats

    interval = stats.bootstrap(
        (np.sort(values),),  # resampling draws by position: the order must not matter
        np.median,
        n_resamples=RESAMPLES,
        batch=max(1, _BATCH_ELEMENTS // values.size),
        vectorized=True,
        confidence_level=0.95,
        method="percentile",
        random_state=np.random.default_rng(SEED),
    ).confidence_interval
    return Interval(float(interval.low), float(interval.high))


def bound_median(values: NDArray[np.float64]) -> Interval:
    """Return the 95 % interval of a median by order statistics, without assuming a distribution."""
    from scipy import stats

    interval = stats.quantile_test(values, q=0.0, p=0.5).confidence_interval(0.95)
    return Interval(float(interval.low), float(interval.high))


def estimate(processes: Sequence[TimeSamples]) -> Estimate:
    """Return the median over fresh processes and its interval.

    The interval is Student's t on the logarithms of the processes' medians, with one degree
    of freedom less than processes; it is widened to contain the interval of the pooled
    samples (`compute_median_ci95_ms`).

    Args:
        processes: the samples of each.

    Raises:
        ValueError: there is no process, or one without samples.
    """
    if not processes:
        raise ValueError("no samples")
    pooled = np.concatenate([np.asarray(samples, dtype=np.float64) for samples in processes])
    medians = [compute_median_ms(samples) for samples in processes]
    return Estimate(compute_median_ms(pooled), _over_processes(medians, pooled))


def _over_processes(medians: Sequence[float], pooled: NDArray[np.float64]) -> Interval | None:
    if len(medians) < MIN_PROCESSES or min(medians) <= 0:
        return None
    within = compute_median_ci95_ms(pooled)
    if within is None:
        return None
    between = compute_student_interval(np.log(medians))
    return Interval(min(between.low, within.low), max(between.high, within.high))


def compute_student_interval(logs: NDArray[np.float64]) -> Interval:
    """Return the 95 % interval of a geometric mean (`scipy.stats.t`), from logarithms."""
    mean = float(logs.mean())
    half = _quantile(len(logs)) * float(logs.std(ddof=1)) / math.sqrt(len(logs))
    return Interval(math.exp(mean - half), math.exp(mean + half))


def _quantile(count: int) -> float:
    from scipy import stats

    return float(stats.t.ppf(0.975, count - 1))


def count_needed_processes(medians: Sequence[float], half_width: float, maximum: int) -> int | None:
    """Return how many processes with this spread give an interval of this half width.

    Args:
        medians: of processes, above 0; at least two.
        half_width: of the 95 % interval, as a share.
        maximum: the largest number to return.

    Returns:
        At least `MIN_PROCESSES`; None if `maximum` processes are not enough.
    """
    deviation = float(np.log(medians).std(ddof=1))
    for count in range(MIN_PROCESSES, maximum + 1):
        if _quantile(count) * deviation / math.sqrt(count) <= half_width:
            return count
    return None


def compute_ratio(baseline: Estimate, own: Estimate) -> Speedup:
    """Return the speed-up between two medians that were measured separately.

    For interleaved processes `kit.results.pairs` gives narrower intervals.

    The interval combines the two medians' own intervals on the log scale, where a ratio
    is a difference: half widths add as the root of the sum of squares. They are taken
    per side, because latencies are skewed (MOVER; Zou and Donner 2008).

    Raises:
        ValueError: a median, or the low end of its interval, is not above 0.
    """
    if min(baseline.low, own.low) <= 0:
        raise ValueError("times must be above 0 to have a ratio")
    return Speedup(baseline.median / own.median, _ratio_interval(baseline, own))


def _ratio_interval(baseline: Estimate, own: Estimate) -> Interval | None:
    if baseline.interval is None or own.interval is None:
        return None
    down = math.hypot(
        math.log(baseline.median / baseline.interval.low),
        math.log(own.interval.high / own.median),
    )
    up = math.hypot(
        math.log(baseline.interval.high / baseline.median),
        math.log(own.median / own.interval.low),
    )
    middle = baseline.median / own.median
    return Interval(middle * math.exp(-down), middle * math.exp(up))


def compute_top1_margin95(agreement: float, images: int) -> float:
    """Return the half width, 0..1, of the 95 % interval of a top-1 difference.

    Two models can only differ in score on pictures where their answers differ: the variance
    of the paired difference is at most (1 - agreement) / images. This is the normal
    approximation of that bound, so it errs on the wide side.

    Args:
        agreement: share of pictures with the same first answer, 0..1.
        images: number of pictures, at least 1.
    """
    return 1.96 * math.sqrt(max(0.0, 1 - agreement) / images)
