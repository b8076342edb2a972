"""Stability checks, on samples of known stability."""

from __future__ import annotations

import numpy as np
import pytest

from kit.bench import gates, passes, stability
from kit.bench.stability import Stability
from kit.notice_catalogue import CATALOGUE
from kit.notices import Notice, render
from kit.results import statistics
from kit.results.context import Context
from kit.results.latency import Plan, Process

MS = 1_000_000
QUIET = Context(
    cpu="c",
    cores=4,
    machine="x86_64",
    os="o",
    governor="performance",
    load_before=0.1,
    load_after=0.9,
    memory_total=1,
    versions={},
    environment={},
)


def latencies(seed: int, center: float = 10.0, count: int = 300, noise: float = 0.02) -> list[int]:
    """Return skewed times in ns with a few outliers, as on a quiet machine."""
    rng = np.random.default_rng(seed)
    times = center * (1 + noise * rng.gamma(2.0, 1.0, count) / 2)
    times[rng.random(count) < 0.02] *= 2.5
    return [int(t * MS) for t in times]


def test_quiet_samples_are_stable() -> None:
    result = stability.assess([latencies(s) for s in range(3)])
    assert result.stable
    assert result.half_width is not None
    assert result.half_width < 0.005
    assert result.spread is not None
    assert result.spread < 0.005


def test_quiet_samples_rarely_give_a_warning() -> None:
    doubted = [
        s
        for s in range(70)
        if not stability.assess([latencies(3 * s + n, count=50) for n in range(3)]).stable
    ]
    assert len(doubted) <= 2


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("apart", [1.15, 1.5, 2.0])
def test_two_modes_are_detected_at_their_centers(share: float, apart: float) -> None:
    rng = np.random.default_rng(0)
    fast, slow = latencies(1, count=400), latencies(2, center=10 * apart, count=400)
    mixed = [s if rng.random() < share else f for f, s in zip(fast, slow, strict=True)]
    result = stability.find_modes(mixed)
    assert result is not None
    assert result == pytest.approx((10.15, 10.15 * apart), rel=0.03)
    assert not stability.assess([mixed]).stable


def test_a_tail_of_outliers_is_no_second_mode() -> None:
    samples = latencies(3, count=400)
    samples[::12] = [3 * s for s in samples[::12]]
    assert stability.find_modes(samples) is None


def test_a_coarse_clock_gives_no_modes() -> None:
    assert stability.find_modes([s // 100_000 * 100_000 for s in latencies(4)]) is None
    assert stability.find_modes([5 * MS] * 100) is None
    assert stability.find_modes([5 * MS] * 99 + [5 * MS + 1]) is None


@pytest.mark.parametrize(("factor", "sign"), [(1.2, 1), (0.8, -1)])
def test_a_drift_has_a_direction(factor: float, sign: int) -> None:
    steps = np.linspace(1, factor, 300)
    samples = [int(s * k) for s, k in zip(latencies(5), steps, strict=True)]
    assert stability.compute_drift(samples) * sign == pytest.approx(0.13, abs=0.03)
    assert stability.assess([latencies(6), samples]).drift == stability.compute_drift(samples)


def test_an_insignificant_drift_is_zero() -> None:
    assert stability.compute_drift(latencies(7, noise=0.5, count=60)) == 0.0
    assert stability.compute_drift([MS, 2 * MS, 3 * MS]) == 0.0


def test_processes_that_disagree_are_not_stable() -> None:
    result = stability.assess([latencies(8), latencies(9, center=11.0)])
    assert result.spread == pytest.approx(0.095, abs=0.01)
    assert not result.stable


def test_the_half_width_counts_processes_and_not_samples() -> None:
    tight = [[int(10 * MS * k)] * 500 for k in (0.98, 1.0, 1.02)]
    result = stability.assess(tight)
    # Student's t with 2 degrees of freedom, 2 % apart: 4.3 × 2 % over the root of 3.
    assert result.half_width == pytest.approx(0.0497, abs=0.001)
    assert not result.stable


def test_one_process_has_no_spread_and_no_interval() -> None:
    result = stability.assess([[MS] * 5])
    assert result == Stability(half_width=None, medians=(1.0,), spread=None, drift=0.0, modes=None)
    assert not result.stable
    assert stability.assess([latencies(1)] * 2).half_width is None


# Known to the plan's precision.


def resolved(*samples: list[int], precision: float = 0.02) -> bool:
    return passes.is_resolved(processes(*samples), Plan(precision=precision))


def test_a_median_is_resolved_when_processes_agree() -> None:
    quiet = [latencies(n) for n in range(3)]
    assert resolved(*quiet)
    assert not resolved(*quiet, precision=1e-5)


def test_disagreeing_processes_do_not_resolve_a_median() -> None:
    apart = [latencies(n, center=center, count=2000) for n, center in enumerate((10, 10.3, 10.6))]
    within = statistics.compute_median_ci95_ms([ns for samples in apart for ns in samples])
    assert within is not None
    assert (within.high - within.low) / 2 < 0.01 * 10.3  # the samples by themselves would do
    assert not resolved(*apart)
    assert resolved(*apart, precision=0.1)


def test_fewer_than_three_processes_do_not_resolve_a_median() -> None:
    assert not resolved([MS] * 1000)
    assert not resolved([MS] * 1000, [MS] * 1000)
    assert resolved([MS] * 1000, [MS] * 1000, [MS] * 1000)


def test_a_process_without_samples_is_an_error() -> None:
    with pytest.raises(ValueError, match="no samples"):
        stability.assess([[MS] * 9, []])


def processes(*samples: list[int], cores: float = 1.0) -> list[Process]:
    return [
        Process(load_ns=1, first_ns=1, samples_ns=tuple(s), cpu_ns=int(cores * sum(s)))
        for s in samples
    ]


FINE = processes(latencies(1), latencies(2), latencies(3))


OFF = processes(*[[int(k * MS)] * 500 for k in (9.8, 10.0, 10.2)])
LOUD = processes(*[latencies(1, noise=0.9)[:30]] * 3)


def warned(**changes: object) -> list[Notice]:
    given = {"context": QUIET, "plan": Plan(), "threads_reported": 1, "processes": FINE, **changes}
    return list(gates.examine(**given))


def codes(**changes: object) -> list[str]:
    return [notice.code for notice in warned(**changes)]


def context(**fields: object) -> Context:
    return QUIET.model_copy(update=fields)


def test_a_quiet_machine_gives_no_warning() -> None:
    assert warned() == []
    assert warned(context=context(governor=None, others=0.2, load_before=9.0)) == []
    assert warned(threads_reported=None) == []


@pytest.mark.parametrize(
    ("changes", "code", "values"),
    [
        ({"context": context(load_before=1.5)}, "machine.loaded", {"load": 1.5, "cores": 4}),
        ({"context": context(others=1.3)}, "machine.busy", {"others": 1.3, "cores": 4}),
        (
            {"context": context(governor="powersave")},
            "machine.slow-governor",
            {"governor": "powersave"},
        ),
        (
            {"plan": Plan(threads=8), "threads_reported": 8},
            "machine.too-many-threads",
            {"threads": 8, "cores": 4},
        ),
        ({"threads_reported": 4}, "threads.not-obeyed", {"taken": 4, "asked": 1}),
        (
            {"processes": processes(*[latencies(1)] * 3, cores=1.9)},
            "threads.exceeded",
            {"used": pytest.approx(1.9), "asked": 1},
        ),
        (
            {"processes": processes(latencies(1), latencies(2, 11.0))},
            "processes.apart",
            {"spread": pytest.approx(0.095, abs=0.006)},
        ),
        ({"processes": FINE[:1]}, "processes.few", {"processes": 1, "needed": 3}),
        ({"processes": FINE[:2]}, "processes.few", {"processes": 2, "needed": 3}),
        (
            {"processes": OFF},
            "median.not-resolved",
            {"half_width": pytest.approx(0.0497, abs=0.001)},
        ),
        ({"processes": OFF}, "processes.more", {"processes": 7}),
        ({"processes": LOUD}, "samples.more", {}),
        (
            {"processes": processes(latencies(1)[:60])},
            "samples.cut-short",
            {"taken": 60, "planned": 100, "seconds": 60.0},
        ),
        (
            {"processes": processes(latencies(1)[:60]), "plan": Plan(runs=9)},
            "samples.few-for-p99",
            {"needed": 100},
        ),
        ({"processes": processes(*[[MS]] * 3), "plan": Plan(runs=1)}, "samples.few", {}),
    ],
)
def test_each_gate_gives_its_code_and_values(changes, code, values) -> None:
    (result,) = [notice for notice in warned(**changes) if notice.code == code]
    assert result.values == values
    assert result.severity == CATALOGUE[code].severity
    assert ": " in render(result)  # the fact, and the remedy


def test_a_hint_suggests_how_to_resolve_the_median_if_possible() -> None:
    far = processes(*[[int(k * MS)] * 500 for k in (5.0, 10.0, 20.0)])
    assert codes(processes=OFF)[-2:] == ["median.not-resolved", "processes.more"]
    assert codes(processes=LOUD)[-4:-2] == ["median.not-resolved", "samples.more"]
    assert codes(processes=far)[-1] == "median.not-resolved"  # 50 processes would not do


def test_two_modes_and_a_drift_give_warnings() -> None:
    slow = [int(s * k) for s, k in zip(latencies(5), np.linspace(1, 1.2, 300), strict=True)]
    for samples, code in ((slow, "samples.slower"), (slow[::-1], "samples.faster")):
        (result,) = [n for n in warned(processes=processes(samples)) if n.code == code]
        assert result.values["change"] == pytest.approx(0.127, abs=0.01)
    mixed = processes([s * (1 + i % 2) for i, s in enumerate(latencies(1))])
    (result,) = [n for n in warned(processes=mixed) if n.code == "samples.two-groups"]
    assert result.values == {
        "low": pytest.approx(10.15, abs=0.2),
        "high": pytest.approx(20.3, abs=0.5),
    }
