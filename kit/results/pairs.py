"""Two things measured in turns against each other: pure functions of one time per process.

Other work on a machine only ever adds time, in spells of milliseconds to minutes. So what two
models cost is compared in quiet moments. The *pace* of a process is the time that one in fifty of
its samples beats (`rounds.paces`), and of some rounds in a row the process with the best pace
counts.
Chen and Revels, "Robust benchmarking in noisy environments" (2016), argue for the minimum of all;
one taken round by round keeps what a device that gets warm does to both out of the ratio.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kit.results.statistics import LEAST_PROCESSES, SEED, Interval, Speedup, student

Floats = NDArray[np.float64]

QUIET = 0.02  # the share of a process's samples that is faster than its pace
LEAST_SWAPPED = 10  # pairs; with fewer, swaps are too few for an interval of use
LEAST_NARROW = 16  # pairs; with fewer, intervals are narrow by luck too often
_SWAPS = 1023  # drawn where there are more; ten pairs still have all of theirs looked at
_LEAST_SPELL, _MOST_SPELL = 3, 16  # rounds that are searched for a quiet process
_STEP = 5e-4  # of a ratio: how finely the ends of an interval are sought


def ratio(baseline: Sequence[float], own: Sequence[float]) -> tuple[float, Interval | None]:
    """Return the time `own` takes as a share of `baseline`'s, and its 95 % interval.

    Number i of both was taken at nearly the same time, so what slows a machine down for a
    while is in both of a pair.

    From `LEAST_SWAPPED` pairs on: in every spell of rounds in a row (a quarter of all, 3 to 16)
    the best of both sides are compared; the ratio is Tukey's trimean over all spells. The
    interval holds every ratio that a permutation test does not refuse
    (`scipy.stats.permutation_test`, which swaps the two of a pair): if two things differ by that
    ratio alone, each swap is as likely as none. Nothing is assumed of how times are distributed.
    Below, it is the geometric mean with Student's t on the logarithms, which takes them to be
    about normal.

    Args:
        baseline: one time for each process, above 0, in the order they ran.
        own: as many, or more: the rest is left out.

    Returns:
        The ratio, and the interval; None below `LEAST_PROCESSES` pairs.

    Raises:
        ValueError: there are no pairs, or times that are not above 0.
    """
    count = min(len(baseline), len(own))
    if count == 0 or min(*baseline, *own) <= 0:
        raise ValueError("a ratio needs pairs of times above 0")
    one, other = np.log(baseline[:count]), np.log(own[:count])
    if count >= LEAST_SWAPPED:
        return math.exp(_apart(other, one)), _not_refused(one, other)
    apart = other - one
    interval = student(apart) if count >= LEAST_PROCESSES else None
    return math.exp(float(apart.mean())), interval


def known(interval: Interval | None, count: int, precision: float) -> bool:
    """Return whether more pairs than `count` would tell nothing more of use.

    That is where the interval of a ratio is narrow, its half at most `precision` of the ratio,
    or farther from 1 than it is wide. Neither asks whether it leaves out 1: who stops as soon
    as it does calls equal things different far more often than in 5 of 100 measurements.
    """
    if interval is None:
        return False
    low, high = math.log(interval.low), math.log(interval.high)
    narrow = count >= LEAST_NARROW and (high - low) / 2 <= precision
    return narrow or max(low, -high) > high - low


def speedup(baseline: Sequence[float], own: Sequence[float]) -> Speedup:
    """Return how many times as fast `own` is, from processes that took turns.

    Raises:
        ValueError: as `ratio`.
    """
    share, interval = ratio(baseline, own)
    ends = None if interval is None else Interval(1 / interval.high, 1 / interval.low)
    return Speedup(1 / share, ends)


def _apart(own: Floats, baseline: Floats, axis: int = -1) -> float:
    """Return the trimean of how far the best of neighbouring rounds are apart.

    An array where SciPy asks for the last axis of many.
    """
    apart = _best(own, axis) - _best(baseline, axis)
    low, middle, high = np.quantile(apart, (0.25, 0.5, 0.75), axis=axis)
    trimean: float = (low + 2 * middle + high) / 4
    return trimean


def _best(times: Floats, axis: int) -> Floats:
    count = times.shape[axis]
    spell = min(_MOST_SPELL, max(_LEAST_SPELL, count // 4))
    rows: Floats = np.lib.stride_tricks.sliding_window_view(times, spell, axis=axis)
    best: Floats = rows.min(-1)
    return best


def _not_refused(baseline: Floats, own: Floats) -> Interval:
    from scipy import optimize

    # Beyond these all of one side is below all of the other: the test refuses that.
    least = float(own.min() - baseline.max()) - _STEP
    most = float(own.max() - baseline.min()) + _STEP
    low = optimize.bisect(lambda r: _chance(baseline, own - r, "greater"), least, most, xtol=_STEP)
    high = optimize.bisect(lambda r: -_chance(baseline, own - r, "less"), least, most, xtol=_STEP)
    return Interval(math.exp(low), math.exp(high))


def _chance(baseline: Floats, own: Floats, side: str) -> float:
    """Return how likely swaps are to be so far apart, less the 2.5 % that are refused."""
    from scipy import stats

    found = stats.permutation_test(
        (own, baseline),
        _apart,
        permutation_type="samples",
        vectorized=True,
        n_resamples=_SWAPS,
        alternative=side,
        random_state=np.random.default_rng(SEED),
    )
    return float(found.pvalue) - 0.025
