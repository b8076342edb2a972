"""Statistics are checked against closed forms and against simulated coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.results import statistics
from kit.results.statistics import Interval, Speedup

SAMPLES = st.lists(st.integers(1, 10**12), min_size=6, max_size=60)


def test_median_and_percentiles_of_known_samples() -> None:
    samples = [n * 1_000_000 for n in range(1, 102)]  # 1..101 ms
    assert statistics.median_ms(samples) == 51
    assert statistics.percentile_ms(samples, 90) == 91
    assert statistics.percentile_ms(samples, 99) == 100
    assert statistics.percentile_ms(samples, 0) == 1


def test_one_slow_sample_moves_the_median_of_two_by_half() -> None:
    assert statistics.median_ms([1_000_000, 2_000_000]) == 1.5


@pytest.mark.parametrize("function", [statistics.median_ms, statistics.median_ci95_ms])
def test_no_samples_is_an_error(function) -> None:
    with pytest.raises(ValueError, match="no samples"):
        function([])


def test_a_percentile_beyond_100_is_an_error() -> None:
    with pytest.raises(ValueError, match="range"):
        statistics.percentile_ms([1, 2], 101)


def test_fewer_than_six_samples_have_no_interval() -> None:
    assert statistics.median_ci95_ms([1, 2, 3, 4, 5]) is None
    assert statistics.median_ci95_ms([1, 2, 3, 4, 5, 6]) is not None


def test_equal_samples_have_an_interval_of_no_width() -> None:
    assert statistics.median_ci95_ms([4_000_000] * 50) == Interval(4.0, 4.0)


@settings(max_examples=25, deadline=None)
@given(SAMPLES, st.randoms())
def test_the_interval_holds_the_median_and_ignores_the_order(samples, random) -> None:
    interval = statistics.median_ci95_ms(samples)
    assert interval is not None
    assert interval.low <= statistics.median_ms(samples) <= interval.high
    assert min(samples) / 1e6 <= interval.low
    assert interval.high <= max(samples) / 1e6
    shuffled = list(samples)
    random.shuffle(shuffled)
    assert statistics.median_ci95_ms(shuffled) == interval


def test_the_interval_covers_the_true_median_about_95_times_in_100() -> None:
    draw = np.random.default_rng(1)
    true = 5e6
    hits = 0
    for _ in range(200):
        samples = (true * draw.lognormal(0, 0.2, 60)).astype(np.int64)
        interval = statistics.median_ci95_ms(samples)
        assert interval is not None
        hits += interval.low <= true / 1e6 <= interval.high
    assert 178 <= hits <= 199  # binomial(200, 0.95) leaves this range once in a thousand


def test_many_samples_take_the_closed_form_and_it_agrees_with_the_bootstrap() -> None:
    draw = np.random.default_rng(2)
    samples = (5e6 * draw.lognormal(0, 0.2, statistics.BOOTSTRAP_LIMIT + 1)).astype(np.int64)
    closed, near = statistics.median_ci95_ms(samples), statistics.median_ci95_ms(samples[1:])
    assert closed is not None
    assert near is not None
    width = near.high - near.low
    assert abs(closed.low - near.low) < 0.25 * width
    assert abs(closed.high - near.high) < 0.25 * width
    assert closed == statistics._order_statistics(samples / 1e6)


def test_speedup_is_the_ratio_of_medians_with_a_combined_interval() -> None:
    found = statistics.speedup([20_000_000] * 10, [4_000_000] * 10)
    assert found == Speedup(5.0, Interval(5.0, 5.0))
    assert found.clear


def test_speedup_of_samples_with_themselves_is_one_and_not_clear() -> None:
    samples = [int(1e6 * v) for v in np.random.default_rng(3).lognormal(1, 0.2, 100)]
    found = statistics.speedup(samples, samples)
    assert found.ratio == 1
    assert not found.clear


def test_speedup_interval_follows_the_wider_side() -> None:
    draw = np.random.default_rng(4)
    base = (20e6 * draw.lognormal(0, 0.1, 200)).astype(np.int64)
    found = statistics.speedup(base, [4_000_000] * 200)
    own = statistics.median_ci95_ms(base)
    assert own is not None
    assert found.interval is not None
    assert found.interval.low == pytest.approx(own.low / 4)
    assert found.interval.high == pytest.approx(own.high / 4)


def test_the_ratio_interval_covers_about_95_times_in_100() -> None:
    draw = np.random.default_rng(5)
    hits = 0
    for _ in range(150):
        base = (20e6 * draw.lognormal(0, 0.2, 50)).astype(np.int64)
        own = (4e6 * draw.lognormal(0, 0.2, 50)).astype(np.int64)
        interval = statistics.speedup(base, own).interval
        assert interval is not None
        hits += interval.low <= 5 <= interval.high
    assert 132 <= hits <= 149


def test_speedup_from_few_samples_claims_nothing() -> None:
    assert statistics.speedup([9] * 3, [3] * 100) == Speedup(3.0, None)
    assert not statistics.speedup([9] * 3, [3] * 100).clear


def test_speedup_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="above 0"):
        statistics.speedup([0] * 6, [1] * 6)
    with pytest.raises(ValueError, match="above 0"):
        statistics.speedup([1] * 6, [0] * 4 + [9] * 4)


def test_top1_margin_is_zero_for_equal_answers_and_shrinks_with_pictures() -> None:
    assert statistics.top1_margin95(1.0, 100) == 0
    assert statistics.top1_margin95(0.96, 468) == pytest.approx(0.01812, abs=1e-5)
    assert statistics.top1_margin95(0.9, 400) == pytest.approx(
        statistics.top1_margin95(0.9, 100) / 2
    )


def test_top1_margin_is_not_narrower_than_the_paired_interval() -> None:
    draw = np.random.default_rng(6)
    right = draw.random(500) < 0.8
    other = np.where(draw.random(500) < 0.05, draw.random(500) < 0.5, right)
    difference = other.astype(float) - right
    paired = 1.96 * float(difference.std()) / math.sqrt(500)
    assert statistics.top1_margin95(float((right == other).mean()), 500) >= paired
