"""When no more processes are added: what is asked, and what a real measurement does then."""

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
    """Return a target that has 128 processes; every second one takes longer by a share."""
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


def test_what_is_known_at_once_takes_the_planned_rounds() -> None:
    assert rounds_of(PLAN, target("a")) == [PLANNED] * 3
    assert rounds_of(PLAN, target("a"), target("b", ms=20.0)) == [PLANNED] * 3


def test_what_is_equal_is_believed_from_sixteen_pairs_on() -> None:
    reasons = rounds_of(PLAN, target("a"), target("b"))
    assert reasons == [PLANNED] * 3 + [DIFFERENCE] * 13


def test_without_pairs_to_add_the_medians_decide() -> None:
    plan = PLAN.model_copy(update={"max_pairs": None})
    reasons = rounds_of(plan, target("a", wobble=0.5), target("b"))
    assert reasons == [PLANNED] * 3 + [MEDIAN] * 2
    assert len(rounds_of(plan, target("a"), target("b"))) == 3


@pytest.mark.parametrize(("max_pairs", "rounds"), [(20, 20), (100, 100), (2, 5)])
def test_what_stays_unresolved_ends_with_the_plan(monkeypatch, max_pairs, rounds) -> None:
    monkeypatch.setattr("kit.results.pairs.is_resolved", lambda *given: False)
    plan = PLAN.model_copy(update={"max_pairs": max_pairs})
    reasons = rounds_of(plan, target("a", wobble=0.5), target("b"))
    assert len(reasons) == rounds


def test_from_sixteen_pairs_on_it_is_looked_at_when_they_have_doubled(monkeypatch) -> None:
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


def test_a_clear_difference_ends_it_though_medians_took_more_rounds() -> None:
    plan = PLAN.model_copy(update={"max_repeats": 10})
    actual = target("a", wobble=0.06), target("b", ms=20.0, wobble=0.06)
    reasons = rounds_of(plan, *actual)
    assert 5 <= len(reasons) <= 10
    assert set(reasons[3:]) == {MEDIAN}


def test_only_bundles_are_waited_for() -> None:
    """The formats of one bundle, and eager PyTorch, are not compared to two percent."""
    own = object()
    assert len(rounds_of(PLAN, target(own), target(own, "lite"))) == 3
    assert len(rounds_of(PLAN, target(own), target("b", "reference"))) == 3


def test_each_bundle_is_waited_for() -> None:
    actual = (target("a"), target("b", ms=20.0), target("c"))
    assert len(rounds_of(PLAN, *actual)) == 16


@pytest.mark.slow
def test_processes_are_added_while_a_difference_is_not_known(tiny_bundle) -> None:
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
