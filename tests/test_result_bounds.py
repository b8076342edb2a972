"""Results with impossible numbers: refused when they are written and when they are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from report_samples import accuracy, latency

from kit.errors import ResultError
from kit.results import store
from kit.results.accuracy import AccuracyResult
from kit.results.latency import LatencyResult

HUGE = 10**30

LATENCY = [
    ("runs.0.processes.0.samples_ns.1", -3),
    ("runs.0.processes.0.samples_ns.1", 0),
    ("runs.0.processes.0.samples_ns.1", HUGE),
    ("runs.0.processes.0.samples_ns", []),
    ("runs.0.processes.0.load_ns", -1),
    ("runs.0.processes.0.first_ns", HUGE),
    ("runs.0.processes.0.cpu_ns", 10**400),
    ("runs.0.processes.0.waited", 1e12),
    ("runs.0.processes", []),
    ("runs.0.peak_rss", -1),
    ("runs.0.peak_rss", HUGE),
    ("runs.0.golden_max_abs", -1.0),
    ("runs.0.plan.runs", HUGE),
    ("runs.0.context.memory_total", -1),
    ("runs.0.context.cores", 0),
    ("runs.0.context.load_before", -2.0),
    ("bundle.artifacts.0.size", -5),
    ("bundle.artifacts.0.parity.0.agreement", -5.0),
    ("bundle.artifacts.0.parity.0.images", 10**400),
    ("bundle.resolution", 0),
    ("schema_version", 0),
]
ACCURACY = [
    ("rows.0.top1", 82.9),
    ("rows.0.agreement", -0.1),
    ("rows.0.images", 0),
    ("rows.0.images", HUGE),
    ("rows.0.images_per_second", -1.0),
    ("left_out", -1),
]
CASES = [("latency", *case) for case in LATENCY] + [("accuracy", *case) for case in ACCURACY]


def sample(kind: str) -> LatencyResult | AccuracyResult:
    return latency() if kind == "latency" else accuracy()


@pytest.mark.parametrize(("kind", "where", "value"), CASES)
def test_impossible_numbers_in_a_file_are_refused(kind, where, value, tmp_path: Path) -> None:
    raw: Any = json.loads(sample(kind).model_dump_json())
    *parents, last = where.split(".")
    place = raw
    for name in parents:
        place = place[int(name) if name.isdigit() else name]
    place[int(last) if last.isdigit() else last] = value
    file = tmp_path / "result.json"
    file.write_text(json.dumps(raw))
    with pytest.raises(ResultError, match=f"is not a result file: .*{where}: "):
        store.read(file)


def test_impossible_numbers_are_never_written(tmp_path: Path) -> None:
    whole = latency()
    process = whole.runs[0].processes[0].model_copy(update={"samples_ns": (HUGE,)})
    run = whole.runs[0].model_copy(update={"processes": (process,)})
    with pytest.raises(ResultError, match=r"is not written: .*samples_ns\.0: "):
        store.write(whole.model_copy(update={"runs": (run,)}), tmp_path / "r.json")
    assert list(tmp_path.iterdir()) == []
