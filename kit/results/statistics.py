"""Statistics of latency samples and of picture counts: pure functions of raw numbers.

Samples come in nanoseconds, as runners report them, and leave in milliseconds. Samples
of several processes are pooled in any order; none of these functions looks at the order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Samples: TypeAlias = Sequence[int] | NDArray[np.int64]

NS_PER_MS = 1e6
SEED = 0
RESAMPLES = 2000
# Above this size one bootstrap would take seconds, and its limit is known in closed form.
BOOTSTRAP_LIMIT = 10_000
# From n samples the widest interval of a median, smallest to largest, covers 1 - 2 / 2**n:
# five give 93.75 %, so fewer than six allow no 95 % interval at all.
LEAST_SAMPLES = 6
LEAST_PAIRS = 3  # for an interval of paired processes
_BATCH_ELEMENTS = 2_000_000  # resampled values held at a time: 16 MB


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval, in the unit of the number it belongs to."""

    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """A median in milliseconds, and its interval if there are samples enough for one."""

    median: float
    interval: Interval | None

    @property
    def least(self) -> float:
        """The low end of what is known about the median."""
        return self.median if self.interval is None else self.interval.low


@dataclass(frozen=True)
class Speedup:
    """How many times as fast: baseline median over own median.

    Attributes:
        ratio: above 1 is faster than the baseline.
        interval: of the ratio; None when one side has too few samples.
    """

    ratio: float
    interval: Interval | None

    @property
    def clear(self) -> bool:
        """Whether the interval excludes 1, so that faster or slower may be said."""
        return self.interval is not None and not self.interval.low <= 1 <= self.interval.high


def _ms(samples_ns: Samples) -> NDArray[np.float64]:
    values = np.asarray(samples_ns, dtype=np.float64) / NS_PER_MS
    if values.size == 0:
        raise ValueError("no samples")
    return values


def median_ms(samples_ns: Samples) -> float:
    """Return the median in milliseconds.

    Raises:
        ValueError: there are no samples.
    """
    return float(np.median(_ms(samples_ns)))


def percentile_ms(samples_ns: Samples, q: float) -> float:
    """Return the q-th percentile (0..100) in milliseconds, interpolated linearly.

    Raises:
        ValueError: there are no samples, or q is not between 0 and 100.
    """
    return float(np.percentile(_ms(samples_ns), q))


def median_ci95_ms(samples_ns: Samples) -> Interval | None:
    """Return the 95 % interval of the median in milliseconds, None below six samples.

    Percentile bootstrap (`scipy.stats.bootstrap`) with a fixed seed: equal samples give
    equal intervals. Above `BOOTSTRAP_LIMIT` samples it is the order-statistic interval
    (`scipy.stats.quantile_test`) that the bootstrap of a median converges to.

    Raises:
        ValueError: there are no samples.
    """
    values = _ms(samples_ns)
    if values.size < LEAST_SAMPLES:
        return None
    if values.size > BOOTSTRAP_LIMIT:
        return _order_statistics(values)
    return _bootstrap(values)


def _bootstrap(values: NDArray[np.float64]) -> Interval:
    from scipy import stats

    found = stats.bootstrap(
        (np.sort(values),),  # resampling draws by position: the order must not matter
        np.median,
        n_resamples=RESAMPLES,
        batch=max(1, _BATCH_ELEMENTS // values.size),
        vectorized=True,
        confidence_level=0.95,
        method="percentile",
        random_state=np.random.default_rng(SEED),
    ).confidence_interval
    return Interval(float(found.low), float(found.high))


def _order_statistics(values: NDArray[np.float64]) -> Interval:
    from scipy import stats

    found = stats.quantile_test(values, q=0.0, p=0.5).confidence_interval(0.95)
    return Interval(float(found.low), float(found.high))


def estimate(samples_ns: Samples) -> Estimate:
    """Return the median and its interval together.

    Raises:
        ValueError: there are no samples.
    """
    return Estimate(median_ms(samples_ns), median_ci95_ms(samples_ns))


def speedup(baseline_ns: Samples, samples_ns: Samples) -> Speedup:
    """Return how many times as fast `samples_ns` is as `baseline_ns`, by the medians.

    Raises:
        ValueError: one side has no samples, or samples that are not above 0.
    """
    return ratio(estimate(baseline_ns), estimate(samples_ns))


def ratio(baseline: Estimate, own: Estimate) -> Speedup:
    """Return the speed-up between two medians that are known already.

    The interval combines the two medians' own intervals on the log scale, where a ratio
    is a difference: half widths add as the root of the sum of squares. They are taken
    per side, because latencies are skewed (MOVER; Zou and Donner 2008).

    Raises:
        ValueError: a median, or the low end of its interval, is not above 0.
    """
    if min(baseline.least, own.least) <= 0:
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


def paired_ratio(baseline: Sequence[float], own: Sequence[float]) -> tuple[float, Interval | None]:
    """Return the geometric mean of `own` over `baseline`, and its 95 % interval.

    Number i of both was taken at nearly the same time, so what slows a machine down for a
    while cancels out of each pair. Student's t on the logarithms of the ratios
    (`scipy.stats.t`): pairs, not samples, are what is independent here.

    Args:
        baseline: medians of processes, above 0.
        own: as many, or more: the rest is left out.

    Returns:
        The ratio, and the interval; None below `LEAST_PAIRS` pairs.

    Raises:
        ValueError: there are no pairs, or times that are not above 0.
    """
    count = min(len(baseline), len(own))
    if count == 0 or min(*baseline, *own) <= 0:
        raise ValueError("a ratio needs pairs of times above 0")
    logs = np.log(np.asarray(own[:count]) / np.asarray(baseline[:count]))
    mean = float(logs.mean())
    if count < LEAST_PAIRS:
        return math.exp(mean), None
    from scipy import stats

    half = float(stats.t.ppf(0.975, count - 1) * logs.std(ddof=1) / math.sqrt(count))
    return math.exp(mean), Interval(math.exp(mean - half), math.exp(mean + half))


def top1_margin95(agreement: float, images: int) -> float:
    """Return the half width, 0..1, of the 95 % interval of a top-1 difference.

    Two models on the same pictures can only differ in score where they differ in answer:
    the variance of the paired difference is at most (1 - agreement) / images. This is the
    normal approximation of that bound, so it errs on the wide side.

    Args:
        agreement: share of pictures with the same first answer, 0..1.
        images: number of pictures, at least 1.
    """
    return 1.96 * math.sqrt(max(0.0, 1 - agreement) / images)
