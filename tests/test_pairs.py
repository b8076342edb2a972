"""Pairs of processes against each other: by hand, by SciPy, and in simulated noise."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.results import pairs, rounds, statistics
from kit.results.latency import Process
from kit.results.statistics import Interval, Speedup


def over(*medians: float) -> statistics.Estimate:
    return statistics.estimate([[int(ms * 1e6)] * 10 for ms in medians])


def holds(interval: Interval | None, true: float) -> bool:
    assert interval is not None
    return interval.low <= true <= interval.high


def busy(draw: np.random.Generator, count: int) -> np.ndarray:
    """Return slowdowns by other work: half, for two processes in five, as on a shared host."""
    return np.where(draw.random(count) < 0.4, draw.normal(1.5, 0.1, count), 1.0)


def times(draw: np.random.Generator, true: float, count: int) -> list[float]:
    return list(true * busy(draw, count) * draw.lognormal(0, 0.01, count))


def test_few_pairs_use_students_t_on_logarithms() -> None:
    from scipy import stats

    rng = np.random.default_rng(0)
    weather = rng.uniform(1, 2, 5)  # common to both of a pair
    baseline = 10 * weather
    own = 10.5 * weather * rng.normal(1, 0.005, 5)
    ratio, interval = pairs.compute_ratio(list(baseline), list(own))
    expected = stats.ttest_rel(np.log(own), np.log(baseline)).confidence_interval(0.95)
    assert ratio == pytest.approx(math.exp(np.log(own / baseline).mean()))
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx(
        (math.exp(expected.low), math.exp(expected.high))
    )
    assert interval.low > 1  # though the weather varies by 100 %


def test_few_pairs_by_hand() -> None:
    ratio, interval = pairs.compute_ratio([1.0, 2.0, 4.0], [2.0, 4.0, 8.0])
    assert ratio == pytest.approx(2)
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((2, 2))
    assert pairs.compute_ratio([1.0, 4.0], [2.0, 4.0]) == (pytest.approx(math.sqrt(2)), None)
    ratio, _ = pairs.compute_ratio([1.0], [3.0, 9.0])  # unpaired samples are left out
    assert ratio == pytest.approx(3)


@pytest.mark.parametrize(("baseline", "own"), [([], []), ([1.0], []), ([0.0], [1.0])])
def test_no_pairs(baseline, own) -> None:
    with pytest.raises(ValueError, match="pairs of times above 0"):
        pairs.compute_ratio(baseline, own)


def test_intervals_cover_and_that_of_pairs_is_narrower() -> None:
    """Rounds are slow or fast for both, so the common effect cancels in a pair."""
    draw = np.random.default_rng(5)
    hits, widths = [0, 0], [0.0, 0.0]
    for _ in range(150):
        shared = draw.lognormal(0, 0.1, 4)
        base, fast = (ms * shared * draw.lognormal(0, 0.01, 4) for ms in (20, 4))
        both = statistics.compute_ratio(over(*base), over(*fast)), pairs.compute_speedup(base, fast)
        for index, result in enumerate(both):
            hits[index] += holds(result.interval, 5)
            assert result.interval is not None
            widths[index] += result.interval.high - result.interval.low
    assert hits[0] >= 140
    assert 132 <= hits[1] <= 149
    assert widths[1] < 0.2 * widths[0]


def test_a_paired_speedup_is_the_reciprocal_of_the_paired_ratio() -> None:
    base, own = [20.0, 21.0, 22.5], [4.0, 4.1, 4.6]
    ratio, interval = pairs.compute_ratio(base, own)
    result = pairs.compute_speedup(base, own)
    assert interval is not None
    assert result == Speedup(1 / ratio, Interval(1 / interval.high, 1 / interval.low))
    assert pairs.compute_speedup([9.0, 9.0], [3.0, 3.0]) == Speedup(pytest.approx(3.0), None)


def test_ten_pairs_invert_the_permutation_test() -> None:
    """All 1024 swaps by hand: at a limit of the interval 2.5 % have as large a difference."""
    draw = np.random.default_rng(2)
    base, own = np.array(times(draw, 10, 10)), np.array(times(draw, 10.5, 10))
    _, interval = pairs.compute_ratio(list(base), list(own))
    assert interval is not None

    def best(logs: np.ndarray) -> np.ndarray:
        return np.array([logs[i : i + 3].min() for i in range(8)])

    def apart(one: np.ndarray, other: np.ndarray) -> float:
        rows = best(other) - best(one)
        return float(np.quantile(rows, 0.25) + 2 * np.median(rows) + np.quantile(rows, 0.75)) / 4

    def chance(ratio: float, sign: int) -> float:
        one, other = np.log(base), np.log(own / ratio)
        so_far = sign * apart(one, other) - 1e-12
        swaps = (np.array(swap) for swap in itertools.product([False, True], repeat=10))
        return float(
            np.mean(
                [
                    sign * apart(np.where(s, other, one), np.where(s, one, other)) >= so_far
                    for s in swaps
                ]
            )
        )

    step = 2 * pairs.STEP
    assert chance(interval.low - step, 1) < 0.025 < chance(interval.low + step, 1)
    assert chance(interval.high + step, -1) < 0.025 < chance(interval.high - step, -1)


@pytest.mark.parametrize("count", [10, 24])
def test_equal_times_have_a_very_narrow_interval(count) -> None:
    result, interval = pairs.compute_ratio([4.0] * count, [4.0] * count)
    assert result == 1
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((1, 1), abs=0.0011)


@pytest.mark.parametrize("count", [10, 24, 64])
@pytest.mark.parametrize(
    "weather",
    [lambda n: np.linspace(1, 1.3, n), lambda n: np.where(np.arange(n) < n // 2, 1, 1.15)],
    ids=["gets warm", "throttles"],
)
def test_effects_common_to_a_pair_cancel(weather, count) -> None:
    draw = np.random.default_rng(0)
    base, own = (ms * weather(count) * draw.lognormal(0, 0.003, count) for ms in (10, 10.5))
    _, interval = pairs.compute_ratio(list(base), list(own))
    assert interval is not None
    assert 1.02 < interval.low < interval.high < 1.08
    assert interval.high > 1.047
    assert interval.low < 1.053


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.integers(10, 14), st.floats(0.01, 100), st.integers(0, 2**32 - 1))
def test_a_unit_and_the_direction_do_not_matter(count, scale, seed) -> None:
    draw = np.random.default_rng(seed)
    base, own = times(draw, 10, count), times(draw, 11, count)
    result, interval = pairs.compute_ratio(base, own)
    again, scaled = pairs.compute_ratio([scale * b for b in base], [scale * o for o in own])
    back, turned = pairs.compute_ratio(own, base)
    assert interval is not None
    assert scaled is not None
    assert turned is not None
    assert again == pytest.approx(result)
    assert back == pytest.approx(1 / result)
    assert interval.low <= result <= interval.high
    near = {"rel": 2 * pairs.STEP}
    if count == 10:  # beyond, which swaps are drawn is not symmetrical
        assert (scaled.low, scaled.high) == pytest.approx((interval.low, interval.high), **near)
        assert (turned.low, turned.high) == pytest.approx(
            (1 / interval.high, 1 / interval.low), **near
        )


@pytest.mark.parametrize(
    ("low", "high", "count", "known"),
    [
        (0.99, 1.02, 16, True),
        (0.99, 1.02, 15, False),  # narrow by luck
        (0.98, 1.03, 1000, False),
        (1.001, 1.06, 1000, False),  # it leaves out 1: no reason to stop
        (1.02, 1.03, 16, True),
        (1.2, 1.4, 3, True),  # far from 1
        (1.2, 1.5, 3, False),
        (1 / 1.4, 1 / 1.2, 3, True),
        (1 / 1.5, 1 / 1.2, 3, False),
    ],
)
def test_a_ratio_is_resolved_when_its_interval_is_narrow_or_far_from_one(
    low, high, count, known
) -> None:
    assert pairs.is_resolved(Interval(low, high), count, 0.02) is known
    assert not pairs.is_resolved(None, count, 0.02)


@pytest.mark.slow
def test_in_noise_the_interval_covers_and_beats_students_t() -> None:
    draw = np.random.default_rng(8)
    hits = result = students = 0
    for _ in range(60):
        base, own = times(draw, 10, 20), times(draw, 10.5, 20)
        _, interval = pairs.compute_ratio(base, own)
        hits += holds(interval, 1.05)
        assert interval is not None
        result += interval.low > 1
        students += statistics.compute_student_interval(np.log(own) - np.log(base)).low > 1
    assert hits >= 52  # binomial(60, 0.95) is below once in a hundred
    assert result >= 57
    assert students <= 30


def test_a_pace_is_the_second_percentile() -> None:
    process = Process(load_ns=1, first_ns=1, samples_ns=tuple(range(10**6, 52 * 10**6, 10**6)))
    assert rounds.compute_paces([process, process]) == [2.0, 2.0]  # of 1 to 51 ms
