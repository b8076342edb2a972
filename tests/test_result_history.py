"""Results of every schema, as written by the kit of that schema, stay readable.

The samples are written out by hand: what a schema lacks, its sample lacks.
"""

from __future__ import annotations

import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from kit.bench.rows import as_json, list_rows
from kit.commands.common import latency_table
from kit.errors import ResultError
from kit.notices import render
from kit.report import html, page
from kit.results import schema, store
from kit.results.accuracy import AccuracyResult
from kit.results.latency import LatencyResult
from kit.results.processors import ProcessorsResult

ROOT = Path(__file__).parents[1]
SHA = "ab" * 32

# Output of `kit bench`, `kit eval` and `kit verify`, by the schema that added a field.

CONTEXT_1 = {
    "cpu": "AMD EPYC 9R14",
    "cores": 2,
    "machine": "x86_64",
    "os": "Linux 6.18",
    "governor": None,
    "load_before": 0.3,
    "load_after": 0.9,
    "mhz": [3695.1],
    "memory_total": 8222000000,
    "others": 0.01,
    "versions": {"kit": "0.1.0", "onnxruntime": "1.32.0"},
    "environment": {"OMP_NUM_THREADS": "1"},
}
PLAN_1 = {
    "name": "quick",
    "warmup_runs": 3,
    "warmup_seconds": 0.3,
    "runs": 20,
    "seconds": 0.5,
    "repeats": 1,
    "max_seconds": 10.0,
    "threads": 1,
}
PROCESS_1 = {"load_ns": 40000000, "first_ns": 9000000, "samples_ns": [4000000, 4100000]}
RUN_1 = {
    "format": "onnx",
    "quantize": "static",
    "device": {"kind": "local", "name": "AMD EPYC 9R14", "serial": None},
    "via": "python",
    "plan": PLAN_1,
    "threads": None,
    "processes": [{**PROCESS_1, "cpu_ns": 8000000}],
    "peak_rss": None,
    "base_rss": None,
    "golden_max_abs": 0.0,
    "context": CONTEXT_1,
    "warnings": ["the governor 'powersave' keeps the clock low: plug the charger in"],
}
BUNDLE_1 = {
    "name": "v2-int8",
    "hash": "cd" * 32,
    "model": "mobilenet_v2",
    "quantize": "static",
    "granularity": "per-channel",
    "resolution": 224,
    "width": 1.0,
    "artifacts": [
        {
            "format": "onnx",
            "quantize": "static",
            "size": 3655870,
            "sha256": SHA,
            "runtime": "onnxruntime 1.32.0",
            "parity": [
                {
                    "against": "float reference",
                    "images": 50,
                    "max_abs": 6.1,
                    "sqnr_db": 15.2,
                    "agreement": 0.94,
                }
            ],
        }
    ],
}
HEAD = {"kit_version": "0.1.0", "created": "2025-11-24T09:30:00Z"}
LATENCY_1 = {
    "schema_version": 1,
    "kind": "latency",
    **HEAD,
    "bundle": BUNDLE_1,
    "runs": [RUN_1],
}
ACCURACY_1 = {
    "schema_version": 1,
    "kind": "accuracy",
    **HEAD,
    "bundle": BUNDLE_1,
    "pictures": "imagenet-500.zip",
    "pictures_sha256": "9d" * 32,
    "left_out": 32,
    "rows": [
        {
            "format": "onnx",
            "quantize": "static",
            "images": 468,
            "top1": 0.82,
            "top5": 0.95,
            "agreement": 0.96,
            "sqnr_db": 18.1,
            "images_per_second": 31.4,
        }
    ],
}

PLAN_2 = {
    **PLAN_1,
    "most_repeats": 5,
    "precision": 0.02,
    "cpus": "f0",
    "cool_c": 38.0,
    "cool_seconds": 120.0,
}
CONDITION_2 = {
    "seconds": 3.5,
    "temperature_c": 31.0,
    "thermal_status": "none",
    "battery": 80,
    "mhz": [1800.0],
}
RUN_2 = {
    **RUN_1,
    "device": {"kind": "phone", "name": "Pixel 8", "serial": "38A1"},
    "via": "native",
    "plan": PLAN_2,
    "processes": [{**PROCESS_1, "cpu_ns": 1, "waited": 2.5, "conditions": [CONDITION_2]}],
    "cpus": "f0",
    "resolved": False,
    "operators": [{"name": "conv", "type": "Conv", "calls": 20, "total_ns": 900000}],
    "context": {**CONTEXT_1, "settings": {"fixed performance": "on"}},
}
SWEPT_2 = {"onnx": "--threads 2 --cpus big", "lite": "--threads 1"}
LATENCY_2 = {**LATENCY_1, "schema_version": 2, "runs": [RUN_2], "recommended": SWEPT_2}

RUN_3 = {**RUN_2, "plan": {**PLAN_2, "name": "custom", "memory": False}}
LATENCY_3 = {**LATENCY_2, "schema_version": 3, "runs": [RUN_3]}

RUN_4 = {**RUN_3, "plan": {**RUN_3["plan"], "most_pairs": 32}}
LATENCY_4 = {**LATENCY_3, "schema_version": 4, "runs": [RUN_4]}

BUNDLE_5 = {**BUNDLE_1, "failed": {"executorch": "no backend took the model"}}
LATENCY_5 = {**LATENCY_4, "schema_version": 5, "bundle": BUNDLE_5}
PROCESSORS_5 = {
    "schema_version": 5,
    "kind": "processors",
    **HEAD,
    "bundle": BUNDLE_5,
    "processors": [{"name": "host", "abi": "x86_64", "about": "EPYC (avx2)", "emulator": None}],
    "rows": [
        {
            "format": "onnx",
            "quantize": "static",
            "processor": "host",
            "runtime": "onnxruntime 1.32.0",
            "images": 3,
            "parity": BUNDLE_1["artifacts"][0]["parity"],
            "golden_max_abs": 0.0,
            "answers_sha256": SHA,
            "passed": True,
            "error": "",
        }
    ],
}

IDENTITY_6 = {
    "measurement": "0123456789abcdef0123456789abcdef",
    "device": {
        "model": "Google Pixel 8",
        "soc": "Google Tensor G3",
        "build": "google/shiba/shiba:15/AP4A/1:user/release-keys",
        "abi": "arm64-v8a",
        "cores": 9,
    },
    "host": {"name": "bench-1", "cpu": "EPYC", "machine": "x86_64", "os": "Linux 6.18"},
    "source": {"revision": "5e" * 20, "dirty": None},
}
NOTICES_6 = [
    {"code": "text", "severity": "warning", "values": {"text": RUN_1["warnings"][0]}},
    {"code": "processes.more", "severity": "hint", "values": {"processes": 7}},
    {"code": "newer.than-this-kit", "severity": "warning", "values": {"x": "y"}},
]
NEW_6 = {"artifact_sha256": SHA, "runtime": "onnxruntime 1.32.0"}
SWEPT_6 = {"onnx": {"threads": 2, "cpus": "big"}, "lite": {"threads": 1, "cpus": "all"}}
RUN_6 = {**RUN_4, **NEW_6, "notices": NOTICES_6}
del RUN_6["warnings"]
LATENCY_6 = {
    **LATENCY_5,
    "schema_version": 6,
    "identity": IDENTITY_6,
    "runs": [RUN_6],
    "recommended": SWEPT_6,
}
ACCURACY_6 = {
    **ACCURACY_1,
    "schema_version": 6,
    "identity": IDENTITY_6,
    "threads": 2,
    "notices": [{"code": "labels.source", "severity": "note", "values": {"source": "my.csv"}}],
    "rows": [{**ACCURACY_1["rows"][0], **NEW_6}],
}
PROCESSORS_6 = {
    **PROCESSORS_5,
    "schema_version": 6,
    "identity": {**IDENTITY_6, "source": None},
    "rows": [{**PROCESSORS_5["rows"][0], "artifact_sha256": SHA}],
}

OUTPUT_7 = {"name": "hidden", "sqnr_db": 21.5, "max_abs": 0.25, "cosine": 0.9971}
LATENCY_7 = {**LATENCY_6, "schema_version": 7}
ACCURACY_7 = {
    **ACCURACY_6,
    "schema_version": 7,
    "task": "tensors",
    "rows": [
        {
            **ACCURACY_6["rows"][0],
            **{"top1": None, "top5": None, "agreement": None, "sqnr_db": 21.5},
            "outputs": [OUTPUT_7, {**OUTPUT_7, "name": "state", "sqnr_db": None}],
        }
    ],
}
PARITY_7 = {**PROCESSORS_5["rows"][0]["parity"][0], "output": "hidden", "cosine": 0.99}
PROCESSORS_7 = {
    **PROCESSORS_6,
    "schema_version": 7,
    "rows": [{**PROCESSORS_6["rows"][0], "parity": [{**PARITY_7, "agreement": None}]}],
}

KEY_8 = {"backend": "xnnpack", "precision": "fp16"}
PLAN_8 = {**RUN_6["plan"], "max_repeats": 5, "max_pairs": 32}
del PLAN_8["most_repeats"], PLAN_8["most_pairs"]
SWEPT_8 = {"onnx-xnnpack-fp16": {"threads": 2, "cpus": "big"}}
BUNDLE_8 = {
    **BUNDLE_5,
    "artifacts": [{**BUNDLE_1["artifacts"][0], **KEY_8}],
    "failed": {"executorch-int8": "no backend took the model"},
}
LATENCY_8 = {
    **LATENCY_7,
    "schema_version": 8,
    "bundle": BUNDLE_8,
    "runs": [{**RUN_6, **KEY_8, "plan": PLAN_8}],
    "recommended": SWEPT_8,
}
ACCURACY_8 = {
    **ACCURACY_7,
    "schema_version": 8,
    "bundle": BUNDLE_8,
    "rows": [{**ACCURACY_7["rows"][0], **KEY_8}],
}
PROCESSORS_8 = {
    **PROCESSORS_7,
    "schema_version": 8,
    "bundle": BUNDLE_8,
    "rows": [{**PROCESSORS_7["rows"][0], **KEY_8}],
}

LATENCY_9 = {**LATENCY_8, "schema_version": 9}
METRIC_9 = {"name": "mean IoU", "value": 61.25, "unit": "%"}
ACCURACY_9 = {
    **ACCURACY_8,
    "schema_version": 9,
    "rows": [{**ACCURACY_8["rows"][0], "metrics": [METRIC_9]}],
}
PROCESSORS_9 = {**PROCESSORS_8, "schema_version": 9}

BUNDLE_10 = {**BUNDLE_8, "input_width": 320}
LATENCY_10 = {**LATENCY_9, "schema_version": 10, "bundle": BUNDLE_10}
ACCURACY_10 = {**ACCURACY_9, "schema_version": 10, "bundle": BUNDLE_10, "batch": 4}
PROCESSORS_10 = {**PROCESSORS_9, "schema_version": 10, "bundle": BUNDLE_10}

LATENCY = [
    *(LATENCY_1, LATENCY_2, LATENCY_3, LATENCY_4),
    *(LATENCY_5, LATENCY_6, LATENCY_7, LATENCY_8, LATENCY_9, LATENCY_10),
]
OTHERS = [
    *({**ACCURACY_1, "schema_version": number} for number in range(1, 6)),
    ACCURACY_6,
    PROCESSORS_5,
    PROCESSORS_6,
    ACCURACY_7,
    PROCESSORS_7,
    ACCURACY_8,
    PROCESSORS_8,
    ACCURACY_9,
    PROCESSORS_9,
    ACCURACY_10,
    PROCESSORS_10,
]


def name(sample: dict[str, Any]) -> str:
    return f"{sample['kind']}-{sample['schema_version']}"


def read(sample: dict[str, Any], folder: Path) -> Any:
    file = folder / "result.json"
    file.write_text(json.dumps(sample))
    return store.read(file)


def test_each_schema_has_a_sample_and_a_history_line() -> None:
    versions = list(range(1, schema.SCHEMA_VERSION + 1))
    assert [sample["schema_version"] for sample in LATENCY] == versions
    assert schema.__doc__ is not None
    assert re.findall(r"^    (\d+)  ", schema.__doc__, re.MULTILINE) == list(map(str, versions))
    reports = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| (\d+) \| ", reports, re.MULTILINE) == list(map(str, versions))


@pytest.mark.parametrize("sample", [*LATENCY, *OTHERS], ids=name)
def test_a_sample_of_each_schema_is_read_shown_and_written_again(sample, tmp_path: Path) -> None:
    actual = read(sample, tmp_path)
    store.write(actual, tmp_path / "again.json")
    assert store.read(tmp_path / "again.json") == actual
    shown = html.render(page.compose([actual]))
    assert "v2-int8" in shown
    if sample["schema_version"] < 6:
        assert actual.identity is None
        assert all(row.artifact_sha256 is None for row in getattr(actual, "rows", ()))


@pytest.mark.parametrize("sample", LATENCY, ids=name)
def test_no_number_of_a_latency_result_is_lost(sample, tmp_path: Path) -> None:
    actual = read(sample, tmp_path)
    assert isinstance(actual, LatencyResult)
    (run,) = actual.runs
    assert run.processes[0].samples_ns == (4000000, 4100000)
    assert (run.context.versions["onnxruntime"], run.plan.runs) == ("1.32.0", 20)
    (row,) = list_rows([actual])
    assert as_json(row)["median_ms"] == 4.05
    assert "the governor 'powersave' keeps the clock low: plug the charger in" in [
        notice["text"] for notice in as_json(row)["notices"]
    ]


def test_a_code_of_a_newer_kit_is_kept_and_shown(tmp_path: Path) -> None:
    actual = read(LATENCY_6, tmp_path)
    assert render(actual.runs[0].notices[2]) == "newer.than-this-kit: x y"
    assert "newer.than-this-kit: x y" in " ".join(latency_table.list_doubts(list_rows([actual])))


def test_invalid_warnings_are_refused(tmp_path: Path) -> None:
    for wrong in (["a", 1], "a", {"a": 1}):
        sample = {**LATENCY_5, "runs": [{**RUN_4, "warnings": wrong}]}
        with pytest.raises(ResultError, match=r"runs\.0\.warnings"):
            read(sample, tmp_path)


def test_fields_of_newer_schemas_are_empty_in_older_results(tmp_path: Path) -> None:
    actual = [read(sample, tmp_path) for sample in LATENCY]
    runs = [result.runs[0] for result in actual]
    assert [r.resolved for r in runs] == [None, *[False] * 9]
    assert [len(r.operators) for r in runs] == [0, *[1] * 9]
    assert [r.plan.cpus for r in runs] == ["", *["f0"] * 9]
    assert [r.plan.memory for r in runs] == [False] * 10  # of 1 and 2, as their plan is quick
    assert [r.plan.max_repeats for r in runs] == [None] + [5] * 9
    assert [r.plan.max_pairs for r in runs] == [None] * 3 + [32] * 7
    assert [result.bundle.failed != {} for result in actual] == [False] * 4 + [True] * 6
    assert [result.identity is not None for result in actual] == [False] * 5 + [True] * 5
    assert actual[0].recommended == {}
    swept = {f"{format_}-int8": setting for format_, setting in SWEPT_6.items()}
    for result in actual[1:7]:
        assert {n: best.model_dump() for n, best in result.recommended.items()} == swept
    assert [r.artifact_sha256 for r in runs] == [None] * 5 + [SHA] * 5
    assert [r.name for r in runs] == ["onnx-int8"] * 7 + ["onnx-xnnpack-fp16"] * 3
    assert [a.name for r in actual for a in r.bundle.artifacts] == [r.name for r in runs]
    failed = [list(result.bundle.failed) for result in actual]
    assert failed == [[]] * 4 + [["executorch-int8"]] * 6
    assert [r.runtime for r in runs] == [None] * 5 + ["onnxruntime 1.32.0"] * 5
    assert [result.bundle.size for result in actual] == ["224"] * 9 + ["224x320"]


def test_before_schema_3_the_plans_name_decides_about_memory(tmp_path) -> None:
    for sample in (LATENCY_1, LATENCY_2):
        other = deepcopy(sample)
        other["runs"][0]["plan"]["name"] = "default"
        assert read(other, tmp_path).runs[0].plan.memory is True


def test_results_of_the_other_kinds_keep_their_numbers(tmp_path: Path) -> None:
    accuracy = [read(sample, tmp_path) for sample in OTHERS if sample["kind"] == "accuracy"]
    assert all(isinstance(result, AccuracyResult) for result in accuracy)
    assert {result.rows[0].top1 for result in accuracy[:-4]} == {0.82}
    assert {result.task for result in accuracy[:-4]} == {"image-classification"}
    for result in accuracy[-4:]:
        assert [output.sqnr_db for output in result.rows[0].outputs] == [21.5, None]
    assert [result.threads for result in accuracy] == [None] * 5 + [2] * 5
    assert [len(result.rows[0].metrics) for result in accuracy] == [0] * 8 + [1] * 2
    assert [result.batch for result in accuracy] == [1] * 9 + [4]
    for sample in (
        PROCESSORS_5,
        PROCESSORS_6,
        PROCESSORS_7,
        PROCESSORS_8,
        PROCESSORS_9,
        PROCESSORS_10,
    ):
        actual = read(sample, tmp_path)
        assert isinstance(actual, ProcessorsResult)
        assert actual.rows[0].answers_sha256 == SHA


def test_a_metric_of_a_task_of_its_own_is_shown(tmp_path: Path) -> None:
    shown = html.render(page.compose([read(ACCURACY_9, tmp_path)]))
    assert "mean IoU, %" in shown
    assert "61.25" in shown


def test_duplicate_metric_names_are_refused(tmp_path: Path) -> None:
    row = {**ACCURACY_9["rows"][0], "metrics": [METRIC_9, {**METRIC_9, "value": 1.0}]}
    with pytest.raises(ResultError, match="two metrics have one name"):
        read({**ACCURACY_9, "rows": [row]}, tmp_path)


def test_metrics_are_listed_once_in_the_table_of_outputs(tmp_path: Path) -> None:
    composed = page.compose([read(ACCURACY_9, tmp_path)])
    (table,) = [one for one in composed.details if one.key == "outputs"]
    assert table.columns[-1] == "mean IoU, %"
    assert [line.cells[-1].text for line in table.lines] == ["61.25", ""]
