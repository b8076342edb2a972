"""When no more processes are added: the rule, and a real measurement."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from conftest import FAST

from kit.artifact_key import FLOAT_MODEL, ArtifactKey
from kit.bench import measure
from kit.bench.stopping import RoundReason, StoppingRule
from kit.results.latency import Plan, Process

PLAN = Plan(repeats=3, max_repeats=5, max_pairs=100)
PLANNED, MEDIAN, DIFFERENCE = RoundReason


def target(bundle: object, name: str = "onnx", ms: float = 10.0, wobble: float = 0.0) -> Any:
    """Return a target of 128 processes, every second one slower by a share."""
    times = [ms * (1 + wobble * (number % 2)) for number in range(128)]
    processes = [
        Process(load_ns=1, first_ns=1, samples_ns=(int(time * 1e6),) * 10) for time in times
    ]
    key = FLOAT_MODEL if name == "reference" else ArtifactKey(name, "int8")
    return SimpleNamespace(bundle=bundle, key=key, all=processes, processes=[])


def rounds_of(plan: Plan, *actual: Any) -> list[RoundReason]:
    """Return the reason of each round, as `measure` runs them."""
    rule, reasons = StoppingRule(actual, plan), []
    while (reason := rule.next_round(len(reasons))) is not None:
        reasons.append(reason)
        for one in actual:
            one.processes.append(one.all[len(one.processes)])
    return reasons


def test_resolved_medians_take_only_the_planned_rounds() -> None:
    assert rounds_of(PLAN, target("a")) == [PLANNED] * 3
    assert rounds_of(PLAN, target("a"), target("b", ms=20.0)) == [PLANNED] * 3


def test_equal_targets_are_resolved_after_sixteen_pairs() -> None:
    reasons = rounds_of(PLAN, target("a"), target("b"))
    assert reasons == [PLANNED] * 3 + [DIFFERENCE] * 13


def test_without_max_pairs_the_medians_decide() -> None:
    plan = PLAN.model_copy(update={"max_pairs": None})
    reasons = rounds_of(plan, target("a", wobble=0.5), target("b"))
    assert reasons == [PLANNED] * 3 + [MEDIAN] * 2
    assert len(rounds_of(plan, target("a"), target("b"))) == 3


@pytest.mark.parametrize(("max_pairs", "rounds"), [(20, 20), (100, 100), (2, 5)])
def test_unresolved_comparisons_end_at_the_plans_limit(monkeypatch, max_pairs, rounds) -> None:
    monkeypatch.setattr("kit.results.pairs.is_resolved", lambda *given: False)
    plan = PLAN.model_copy(update={"max_pairs": max_pairs})
    reasons = rounds_of(plan, target("a", wobble=0.5), target("b"))
    assert len(reasons) == rounds


def test_from_sixteen_pairs_on_resolution_is_checked_at_each_doubling(monkeypatch) -> None:
    looks = []
    monkeypatch.setattr(
        "kit.results.pairs.is_resolved", lambda interval, count, precision: looks.append(count)
    )
    assert len(rounds_of(PLAN, target("a"), target("b"))) == 100
    assert looks == [*range(3, 16), 16, 32, 64]
    looks.clear()
    planned = PLAN.model_copy(update={"repeats": 20})
    assert len(rounds_of(planned, target("a"), target("b"))) == 100
    assert looks == [20, 32, 64]


def test_a_clear_difference_leaves_only_rounds_for_the_medians() -> None:
    plan = PLAN.model_copy(update={"max_repeats": 10})
    actual = target("a", wobble=0.06), target("b", ms=20.0, wobble=0.06)
    reasons = rounds_of(plan, *actual)
    assert 5 <= len(reasons) <= 10
    assert set(reasons[3:]) == {MEDIAN}


def test_only_pairs_of_bundles_extend_a_measurement() -> None:
    """The formats of one bundle, and eager PyTorch, are not compared to two percent."""
    own = object()
    assert len(rounds_of(PLAN, target(own), target(own, "lite"))) == 3
    assert len(rounds_of(PLAN, target(own), target("b", "reference"))) == 3


def test_every_pair_of_bundles_must_be_resolved() -> None:
    actual = (target("a"), target("b", ms=20.0), target("c"))
    assert len(rounds_of(PLAN, *actual)) == 16


@pytest.mark.slow
def test_processes_are_added_while_a_difference_is_unresolved(tiny_bundle) -> None:
    changes = {"repeats": 1, "max_pairs": 4, "memory": False}
    labels: list[str] = []
    results = measure.measure_all(
        [tiny_bundle.path, tiny_bundle.path],
        ["onnx"],
        FAST.model_copy(update=changes),
        lambda done, of, label: labels.append(label),
    )
    assert [len(result.runs[0].processes) for result in results] == [4, 4]
    assert sum(label.endswith(DIFFERENCE.value) for label in labels) == 6
