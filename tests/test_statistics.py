"""Statistics are checked against closed forms and against simulated coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.bench import stability
from kit.bench.plan import get_preset
from kit.results import statistics
from kit.results.statistics import Interval, Speedup

SAMPLES = st.lists(st.integers(1, 10**12), min_size=6, max_size=60)


def test_median_and_percentiles_of_known_samples() -> None:
    samples = [n * 1_000_000 for n in range(1, 102)]  # 1..101 ms
    assert statistics.compute_median_ms(samples) == 51
    assert statistics.compute_percentile_ms(samples, 90) == 91
    assert statistics.compute_percentile_ms(samples, 99) == 100
    assert statistics.compute_percentile_ms(samples, 0) == 1


def test_one_slow_sample_moves_the_median_of_two_by_half() -> None:
    assert statistics.compute_median_ms([1_000_000, 2_000_000]) == 1.5


@pytest.mark.parametrize(
    "function", [statistics.compute_median_ms, statistics.compute_median_ci95_ms]
)
def test_no_samples_is_an_error(function) -> None:
    with pytest.raises(ValueError, match="no samples"):
        function([])


def test_a_percentile_beyond_100_is_an_error() -> None:
    with pytest.raises(ValueError, match="range"):
        statistics.compute_percentile_ms([1, 2], 101)


def test_fewer_than_six_samples_have_no_interval() -> None:
    assert statistics.compute_median_ci95_ms([1, 2, 3, 4, 5]) is None
    assert statistics.compute_median_ci95_ms([1, 2, 3, 4, 5, 6]) is not None


def test_equal_samples_have_an_interval_of_zero_width() -> None:
    assert statistics.compute_median_ci95_ms([4_000_000] * 50) == Interval(4.0, 4.0)


@settings(max_examples=25, deadline=None)
@given(SAMPLES, st.randoms())
def test_the_interval_contains_the_median_and_ignores_the_order(samples, random) -> None:
    interval = statistics.compute_median_ci95_ms(samples)
    assert interval is not None
    assert interval.low <= statistics.compute_median_ms(samples) <= interval.high
    assert min(samples) / 1e6 <= interval.low
    assert interval.high <= max(samples) / 1e6
    shuffled = list(samples)
    random.shuffle(shuffled)
    assert statistics.compute_median_ci95_ms(shuffled) == interval


def test_the_interval_covers_the_true_median_about_95_times_in_100() -> None:
    draw = np.random.default_rng(1)
    true = 5e6
    hits = 0
    for _ in range(200):
        samples = (true * draw.lognormal(0, 0.2, 60)).astype(np.int64)
        interval = statistics.compute_median_ci95_ms(samples)
        assert interval is not None
        hits += interval.low <= true / 1e6 <= interval.high
    assert 178 <= hits <= 199  # binomial(200, 0.95) leaves this range once in a thousand


def test_many_samples_use_a_closed_form_that_agrees_with_the_bootstrap() -> None:
    draw = np.random.default_rng(2)
    samples = (5e6 * draw.lognormal(0, 0.2, statistics.BOOTSTRAP_LIMIT + 1)).astype(np.int64)
    closed, near = (
        statistics.compute_median_ci95_ms(samples),
        statistics.compute_median_ci95_ms(samples[1:]),
    )
    assert closed is not None
    assert near is not None
    width = near.high - near.low
    assert abs(closed.low - near.low) < 0.25 * width
    assert abs(closed.high - near.high) < 0.25 * width
    assert closed == statistics.bound_median(samples / 1e6)


def fresh(seed: int, apart: float, count: int = 3, true: float = 5e6, taken: int = 40):
    """Return samples in ns of processes whose own medians are `apart` (a standard deviation)."""
    draw = np.random.default_rng(seed)
    offsets = draw.lognormal(0, apart, count)
    return [(true * o * draw.lognormal(0, 0.02, taken)).astype(np.int64) for o in offsets]


def holds(interval: Interval | None, true: float) -> bool:
    assert interval is not None
    return interval.low <= true <= interval.high


@pytest.mark.slow
def test_the_interval_over_processes_covers_unlike_pooled_samples(monkeypatch) -> None:
    monkeypatch.setattr(statistics, "RESAMPLES", 500)  # takes 400 results in seconds
    results = [fresh(seed, 0.02) for seed in range(400)]
    hits = sum(holds(statistics.estimate(processes).interval, 5.0) for processes in results)
    assert hits >= 0.9 * 400
    pooled = [statistics.compute_median_ci95_ms(np.concatenate(processes)) for processes in results]
    assert sum(holds(interval, 5.0) for interval in pooled) < 0.6 * 400


@pytest.mark.slow
@pytest.mark.parametrize(("apart", "known"), [(0.01, 0.99), (0.02, 0.9)])
def test_the_interval_covers_with_sequential_stopping(apart, known, monkeypatch) -> None:
    monkeypatch.setattr(statistics, "RESAMPLES", 200)
    made, hits, narrow = get_preset("default"), 0, 0
    assert made.max_repeats is not None
    for seed in range(400):
        every = fresh(seed, apart, made.max_repeats, taken=8)
        for count in range(made.repeats, made.max_repeats + 1):
            width = stability.compute_half_width(every[:count])
            if width is not None and width <= made.precision:
                narrow += 1
                break
        hits += holds(statistics.estimate(every[:count]).interval, 5.0)
    assert hits >= 0.9 * 400
    assert narrow >= known * 400


def test_the_interval_over_processes_by_hand() -> None:
    processes = [[ms * 1_000_000] * 6 for ms in (10, 20, 40)]
    result = statistics.estimate(processes)
    assert result.median == 20
    assert result.interval is not None
    # Student's t with 2 degrees of freedom: 4.3027 times ln 2 over the root of 3.
    factor = math.exp(4.30265 * math.log(2) / math.sqrt(3))
    assert result.interval.low == pytest.approx(20 / factor, rel=1e-4)
    assert result.interval.high == pytest.approx(20 * factor, rel=1e-4)


def test_the_interval_is_never_narrower_than_that_of_the_samples() -> None:
    one = (5e6 * np.random.default_rng(7).lognormal(0, 0.3, 30)).astype(np.int64)
    within = statistics.compute_median_ci95_ms(np.concatenate([one] * 3))
    assert within is not None
    result = statistics.estimate([one] * 3).interval  # three that agree to the nanosecond
    assert result is not None
    assert (result.low, result.high) == pytest.approx((within.low, within.high))


def test_fewer_than_three_processes_have_no_interval() -> None:
    assert statistics.estimate([[5] * 100]).interval is None
    assert statistics.estimate([[5] * 100] * 2).interval is None
    assert statistics.estimate([[5] * 100] * 3).interval is not None
    assert statistics.estimate([[5]] * 3).interval is None  # three samples
    assert statistics.estimate([[0] * 100] * 3) == statistics.Estimate(0.0, None)
    for nothing in ([], [[5], []]):
        with pytest.raises(ValueError, match="no samples"):
            statistics.estimate(nothing)


def test_how_many_processes_are_needed() -> None:
    def half(count: int) -> float:
        from scipy import stats

        deviation = float(np.log([10.0, 10.2, 10.4]).std(ddof=1))
        return float(stats.t.ppf(0.975, count - 1)) * deviation / math.sqrt(count)

    needed = statistics.count_needed_processes([10.0, 10.2, 10.4], 0.02, 50)
    assert needed is not None
    assert half(needed) <= 0.02 < half(needed - 1)
    assert statistics.count_needed_processes([10.0, 10.2, 10.4], 0.02, needed) == needed
    assert statistics.count_needed_processes([10.0, 10.2, 10.4], 0.02, needed - 1) is None
    assert statistics.count_needed_processes([10.0, 10.0, 10.0], 0.02, 50) == 3
    assert statistics.count_needed_processes([10.0, 15.0], 0.02, 50) is None


def over(*medians: float) -> statistics.Estimate:
    return statistics.estimate([[int(ms * 1e6)] * 10 for ms in medians])


def test_a_process_counts_in_the_median_by_its_number_of_samples() -> None:
    """As docs/measuring.md says: a fast process takes more samples in the same time."""
    fast, slow = [1_000_000] * 30, [2_000_000] * 10
    assert statistics.estimate([fast, slow, slow]).median == 1.0
    assert statistics.estimate([fast[:10], slow, slow]).median == 2.0


def test_a_ratio_of_medians_has_a_combined_interval() -> None:
    result = statistics.compute_ratio(over(20, 20, 20), over(4, 4, 4))
    assert result.ratio == 5.0
    assert result.interval is not None
    assert (result.interval.low, result.interval.high) == pytest.approx((5.0, 5.0))
    assert result.clear


def test_a_difference_below_the_spread_of_processes_is_not_clear() -> None:
    baseline, own = over(20, 21, 22), over(19, 20, 21)
    result = statistics.compute_ratio(baseline, own)
    assert result.ratio == 1.05
    assert not result.clear


def test_the_interval_of_a_ratio_follows_the_wider_side() -> None:
    own = over(20, 21, 22).interval
    result = statistics.compute_ratio(over(20, 21, 22), over(4, 4, 4)).interval
    assert own is not None
    assert result is not None
    assert result.low == pytest.approx(own.low / 4)
    assert result.high == pytest.approx(own.high / 4)


def test_a_ratio_of_few_processes_has_no_interval() -> None:
    assert statistics.compute_ratio(over(9, 9), over(3, 3, 3)) == Speedup(3.0, None)
    assert not statistics.compute_ratio(over(9, 9), over(3, 3, 3)).clear


def test_a_ratio_of_empty_samples_is_an_error() -> None:
    with pytest.raises(ValueError, match="above 0"):
        statistics.compute_ratio(over(0), over(1))


def test_top1_margin_is_zero_for_equal_answers_and_shrinks_with_pictures() -> None:
    assert statistics.compute_top1_margin95(1.0, 100) == 0
    assert statistics.compute_top1_margin95(0.96, 468) == pytest.approx(0.01812, abs=1e-5)
    assert statistics.compute_top1_margin95(0.9, 400) == pytest.approx(
        statistics.compute_top1_margin95(0.9, 100) / 2
    )


def test_top1_margin_is_not_narrower_than_the_paired_interval() -> None:
    draw = np.random.default_rng(6)
    right = draw.random(500) < 0.8
    other = np.where(draw.random(500) < 0.05, draw.random(500) < 0.5, right)
    difference = other.astype(float) - right
    paired = 1.96 * float(difference.std()) / math.sqrt(500)
    assert statistics.compute_top1_margin95(float((right == other).mean()), 500) >= paired
