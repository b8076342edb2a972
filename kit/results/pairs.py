"""Compare two targets whose processes were interleaved: pure functions of one time per process.

Other load on a machine only ever adds time, in bursts of milliseconds to minutes. So two models
are compared by their times in quiet moments. The *pace* of a process is the 2nd percentile of its
samples (`rounds.compute_paces`), and within a window of consecutive rounds the process with the
lowest pace counts.
Chen and Revels, "Robust benchmarking in noisy environments" (2016), argue for the overall minimum;
a minimum per window keeps the effect of a device that warms up, which slows both, out of the ratio.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from kit.results.statistics import (
    MIN_PROCESSES,
    SEED,
    Floats,
    Interval,
    Speedup,
    compute_student_interval,
)

QUIET = 0.02  # the share of a process's samples that is faster than its pace
MIN_PERMUTATION_PAIRS = 10  # with fewer, there are too few swaps for a useful interval
MIN_PRECISION_PAIRS = 16  # with fewer, intervals are narrow by luck too often
_MAX_SWAPS = 2**MIN_PERMUTATION_PAIRS  # all of ten pairs; drawn at random if there are more
_MIN_WINDOW, _MAX_WINDOW = 3, 16  # rounds that are searched for a quiet process
STEP = 5e-4  # tolerance, as a ratio, of the interval's ends


def compute_ratio(baseline: Sequence[float], own: Sequence[float]) -> tuple[float, Interval | None]:
    """Return the time `own` takes as a share of `baseline`'s, and its 95 % interval.

    Item i of both was measured at nearly the same time, so a temporary slowdown of the machine
    affects both items of a pair.

    From `MIN_PERMUTATION_PAIRS` pairs on, the minima of both sides are compared in every window
    of consecutive rounds (a quarter of all, 3 to 16); the ratio is Tukey's trimean over all
    windows. The interval holds every ratio that a permutation test does not reject
    (`scipy.stats.permutation_test`, which swaps the items of a pair): if the sides differ by that
    ratio alone, each swap is as likely as none. No distribution of times is assumed.
    With fewer pairs, it is the geometric mean with Student's t on the logarithms, which are
    assumed to be about normal.

    Args:
        baseline: one positive time for each process, in the order they ran.
        own: the same of the other side; items without a counterpart are ignored.

    Returns:
        The ratio, and the interval; None below `MIN_PROCESSES` pairs.

    Raises:
        ValueError: there are no pairs, or a time is not above 0.
    """
    count = min(len(baseline), len(own))
    if count == 0 or min(*baseline, *own) <= 0:
        raise ValueError("a ratio needs pairs of times above 0")
    one, other = np.log(baseline[:count]), np.log(own[:count])
    if count >= MIN_PERMUTATION_PAIRS:
        return math.exp(_trimean(other, one)), _permutation_interval(one, other)
    differences = other - one
    interval = compute_student_interval(differences) if count >= MIN_PROCESSES else None
    return math.exp(float(differences.mean())), interval


def is_resolved(interval: Interval | None, count: int, precision: float) -> bool:
    """Return whether more pairs than `count` would add nothing useful.

    A ratio is resolved if its interval is narrow, its half width at most `precision` of the
    ratio, or if it is farther from 1 than it is wide. Whether it excludes 1 is no criterion:
    stopping as soon as it does calls equal targets different in far more than 5 of 100
    measurements.
    """
    if interval is None:
        return False
    low, high = math.log(interval.low), math.log(interval.high)
    narrow = count >= MIN_PRECISION_PAIRS and (high - low) / 2 <= precision
    return narrow or max(low, -high) > high - low


def compute_speedup(baseline: Sequence[float], own: Sequence[float]) -> Speedup:
    """Return how many times as fast `own` is, from interleaved processes.

    Raises:
        ValueError: as `compute_ratio`.
    """
    share, interval = compute_ratio(baseline, own)
    ends = None if interval is None else Interval(1 / interval.high, 1 / interval.low)
    return Speedup(1 / share, ends)


def _trimean(own: Floats, baseline: Floats, axis: int = -1) -> float:
    """Return the trimean of the differences between both sides' window minima.

    An array if SciPy passes many samples, each along `axis`.
    """
    differences = _window_minima(own, axis) - _window_minima(baseline, axis)
    low, middle, high = np.quantile(differences, (0.25, 0.5, 0.75), axis=axis)
    trimean: float = (low + 2 * middle + high) / 4
    return trimean


def _window_minima(times: Floats, axis: int) -> Floats:
    count = times.shape[axis]
    window = min(_MAX_WINDOW, max(_MIN_WINDOW, count // 4))
    rows: Floats = np.lib.stride_tricks.sliding_window_view(times, window, axis=axis)
    minima: Floats = rows.min(-1)
    return minima


def _permutation_interval(baseline: Floats, own: Floats) -> Interval:
    from scipy import optimize

    # Beyond these, all times of one side are below all of the other: the test rejects that.
    minimum = float(own.min() - baseline.max()) - STEP
    maximum = float(own.max() - baseline.min()) + STEP
    ends = (minimum, maximum)
    low = optimize.bisect(lambda r: _excess(baseline, own - r, "greater"), *ends, xtol=STEP)
    high = optimize.bisect(lambda r: -_excess(baseline, own - r, "less"), *ends, xtol=STEP)
    return Interval(math.exp(low), math.exp(high))


def _excess(baseline: Floats, own: Floats, side: str) -> float:
    """Return the p-value of a one-sided permutation test minus its level of 2.5 %."""
    from scipy import stats

    test = stats.permutation_test(
        (own, baseline),
        _trimean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=_MAX_SWAPS,
        alternative=side,
        random_state=np.random.default_rng(SEED),
    )
    return float(test.pvalue) - 0.025
