"""Latency measurements with real runners on a tiny bundle."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from conftest import FAST, rewrite

import kit
from kit.bench import fits, measure, passes, plan, rows, targets
from kit.bench.runner import PYTHON
from kit.devices import local
from kit.errors import BundleError, ResultError, RunError, UnknownName, UsageError
from kit.notices import make_notice
from kit.results import source, store
from kit.results.latency import LatencyResult, Plan


def test_presets() -> None:
    assert plan.get_preset("default", 3) == Plan(threads=3, max_repeats=10, max_pairs=32)
    official = plan.get_preset("official")
    assert official.runs >= 1024
    assert official.seconds >= 60
    assert official.max_seconds > official.seconds
    quick = plan.get_preset("quick")
    assert (quick.repeats, quick.max_repeats, quick.memory) == (1, None, False)
    assert official.memory
    assert [plan.get_preset(n).name for n in ("quick", "default", "official")] == [
        "quick",
        "default",
        "official",
    ]


def test_processes_are_interleaved_over_bundles(measured) -> None:
    first, *labels = measured[1]
    assert first == "0/1 preparing files"  # nothing is pushed to this machine
    assert labels == [
        "0/6 tiny onnx-fp32: time",
        "1/6 int8 onnx-int8: time",
        "2/6 int8 onnx-int8: time",  # reversed order, so that drift over time cancels out
        "3/6 tiny onnx-fp32: time",
        "4/6 tiny onnx-fp32: memory",
        "5/6 int8 onnx-int8: memory",
        "6/6 done",
    ]


def test_a_result_records_all_details_of_each_run(measured, tiny_bundle) -> None:
    (result, _), _ = measured
    (run,) = result.runs
    assert result.bundle.hash == tiny_bundle.hash
    assert (run.format, run.quantize, run.via, run.plan) == ("onnx", "none", "python", FAST)
    assert [len(p.samples_ns) for p in run.processes] == [20, 20]
    assert all(p.load_ns > 0 and p.first_ns > 0 and p.cpu_ns for p in run.processes)
    assert run.processes[0].samples_ns != run.processes[1].samples_ns
    assert run.golden_max_abs == pytest.approx(0, abs=1e-5)
    assert run.artifact_sha256 == hashlib.sha256(tiny_bundle.file("onnx").read_bytes()).hexdigest()
    assert run.base_rss is not None
    assert run.peak_rss is not None
    assert 10e6 < run.base_rss <= run.peak_rss
    context = run.context
    assert context.environment == {
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "passive",
        "ORT_DISABLE_TELEMETRY": "1",
    }
    assert {"python", "kit", "onnxruntime"} <= set(context.versions)
    assert context.others is not None
    assert "samples.few-for-p99" in [n.code for n in run.notices]  # there are only 40 samples


def test_a_result_identifies_its_measurement(measured, tiny_bundle, tmp_path) -> None:
    one, other = measured[0]
    assert one.identity == other.identity  # interleaved: one measurement
    device = one.identity.device
    assert device == local.open(None).fingerprint
    assert (device.soc, device.cores) == (one.runs[0].context.cpu, os.cpu_count())
    assert one.identity.host.name == platform.node()
    assert one.identity.source == source.read_source(Path.cwd())

    def change(fields) -> None:
        _, onnx = fields["artifacts"]
        runtime = onnx.runtime.model_copy(update={"name": "onnxruntime"})
        fields["artifacts"] = (onnx.model_copy(update={"runtime": runtime}),)

    named = rewrite(tiny_bundle, tmp_path / "named", {}, change)
    again = measure.measure(named, plan=FAST.model_copy(update={"repeats": 1}))
    assert again.identity is not None
    assert again.identity.measurement != one.identity.measurement
    assert again.runs[0].runtime == f"onnxruntime {onnxruntime.__version__}"


def test_a_written_result_is_read_back_unchanged(measured, tmp_path) -> None:
    for result in measured[0]:
        store.write(result, tmp_path / "r.json")
        assert store.read(tmp_path / "r.json") == result


def test_equal_reference_models_are_measured_once(tiny_bundle, quantized, monkeypatch) -> None:
    requested: list[str] = []

    def fail(_device, request, *_):
        requested.append(request.format)
        raise RunError("stop", "here")

    monkeypatch.setattr(passes.drive, "run", fail)
    names = ["reference", "onnx"]
    with local.open(None).folder() as opened:
        runners = dict.fromkeys(names, PYTHON)
        actual = targets.prepare([tiny_bundle, quantized], names, FAST, opened, runners)
        assert [t.label for t in actual] == ["tiny reference", "tiny onnx-fp32", "int8 onnx-int8"]
    with pytest.raises(RunError, match="stop"):
        measure.measure(tiny_bundle, ["onnx"], FAST)
    assert requested == ["onnx"]


@pytest.mark.slow
def test_processes_are_added_until_the_maximum_if_the_median_is_not_resolved(tiny_bundle) -> None:
    plan = FAST.model_copy(update={"repeats": 1, "max_repeats": 4, "precision": 1e-9})
    (run,) = measure.measure(tiny_bundle, ["onnx"], plan).runs
    assert len(run.processes) == 4
    assert run.resolved is False
    assert "median.not-resolved" in [notice.code for notice in run.notices]


@pytest.mark.slow
def test_processes_stop_once_resolved_and_memory_follows_the_plan(tiny_bundle) -> None:
    changes = {"repeats": 1, "max_repeats": 5, "precision": 0.99, "memory": False}
    plan = FAST.model_copy(update=changes)  # its name is custom
    (run,) = measure.measure(tiny_bundle, ["onnx"], plan).runs
    # The measurement stops at the first process that resolves the median, at the third or later.
    done = [passes.is_resolved(run.processes[:n], plan) for n in range(1, len(run.processes) + 1)]
    assert not any(done[:-1])
    assert not any(done[:2])
    assert done[-1] or len(done) == 5
    assert run.resolved is done[-1]
    assert run.peak_rss is None
    quick = plan.model_copy(update={"name": "quick", "max_repeats": None, "memory": True})
    (run,) = measure.measure(tiny_bundle, ["onnx"], quick).runs
    assert run.peak_rss is not None
    assert run.resolved is False
    assert make_notice("processes.few", processes=1, needed=3) in run.notices


def test_results_of_older_schemas_are_read(measured, tmp_path) -> None:
    raw = json.loads(measured[0][0].model_dump_json())
    raw["schema_version"] = 2
    del raw["runs"][0]["plan"]["memory"]
    file = tmp_path / "old.json"
    for name, memory in (("custom", True), ("quick", False)):
        raw["runs"][0]["plan"]["name"] = name
        file.write_text(json.dumps(raw))
        actual = store.read(file)
        assert isinstance(actual, LatencyResult)
        assert actual.runs[0].plan.memory is memory
        assert rows.list_rows([actual])[0].median.interval is None  # too few processes
    raw["runs"] = ["?"]
    file.write_text(json.dumps(raw))
    with pytest.raises(ResultError, match=r"runs\.0"):
        store.read(file)


@pytest.mark.parametrize("bad", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("field", ["load_before", "cool_c"])
def test_numbers_that_are_not_finite_are_refused(measured, tmp_path, field, bad) -> None:
    text = re.sub(rf'"{field}":[^,]+', f'"{field}":{bad}', measured[0][0].model_dump_json())
    file = tmp_path / "bad.json"
    file.write_text(text)
    error = f"{field}: it must be a finite number" if "e" in bad else f"it holds {bad}, which"
    with pytest.raises(ResultError, match=error):
        store.read(file)


@pytest.mark.slow
def test_the_api_accepts_a_folder_and_measures_all_its_formats(tiny_bundle) -> None:
    one = FAST.model_copy(update={"repeats": 1})
    result = kit.measure(str(tiny_bundle.path), plan=one)
    assert [run.format for run in result.runs] == ["lite", "onnx"]
    assert [run.threads for run in result.runs] == [1, None]


@pytest.mark.slow
def test_executorch_uses_the_number_of_threads(tmp_path) -> None:
    """ExecuTorch's default is one thread per core."""
    import torch
    from torch import nn

    from kit import formats
    from kit.devices import local
    from kit.runners import drive
    from kit.runners.protocol import Request

    image = np.random.default_rng(0).normal(size=(1, 3, 64, 64)).astype("<f4")
    layers = [nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1)]
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 64 * 64, 10)).eval()
    formats.get_format("executorch").export(net, (torch.from_numpy(image),), tmp_path / "model.pte")
    (tmp_path / "in.bin").write_bytes(image.tobytes())
    for threads in (1, 2):
        actual = drive.run(
            local.open(None),
            Request(
                format="executorch",
                model=str(tmp_path / "model.pte"),
                input=str(tmp_path / "in.bin"),
                inputs="float32:1,3,64,64",
                out=str(tmp_path / "out.bin"),
                warmup=3,
                warmup_seconds=0,
                iters=50,
                min_seconds=0.3,
                max_seconds=20,
                threads=threads,
            ),
            drive.make_environment(threads),
        )
        assert actual.start is not None
        assert actual.end is not None
        assert actual.start.obeyed == threads
        assert actual.end.cpu_ns is not None
        used = actual.end.cpu_ns / sum(actual.samples)
        assert used < threads + 0.3  # a busy machine gives less CPU time, never more


def test_files_without_a_native_runner_are_left_out_where_others_have_one(
    tiny_bundle, tmp_path
) -> None:
    def change(fields) -> None:
        lite, onnx = fields["artifacts"]
        fields["artifacts"] = (lite.model_copy(update={"format": "torchscript"}), onnx)

    mixed = rewrite(tiny_bundle, tmp_path / "mixed", {"x": np.zeros(1)}, change)
    names = [
        [key.name for key in targets.select_keys(mixed, None, only_native=native)]
        for native in (False, True)
    ]
    assert names == [["torchscript-fp32", "onnx-fp32"], ["onnx-fp32"]]
    (named,) = targets.select_keys(mixed, ["torchscript"], only_native=True)
    alone = rewrite(
        mixed,
        tmp_path / "alone",
        {},
        lambda fields: fields.update(artifacts=mixed.manifest.artifacts[:1]),
    )
    (only,) = targets.select_keys(alone, None, only_native=True)
    assert named.name == only.name == "torchscript-fp32"


def test_only_files_that_are_measured_are_checked_for_their_version(tiny_bundle, tmp_path) -> None:
    def change(fields) -> None:
        lite, onnx = fields["artifacts"]
        fields["artifacts"] = (lite.model_copy(update={"format_version": "bytecode 99"}), onnx)

    newer = rewrite(tiny_bundle, tmp_path / "newer", {"x": np.zeros(1)}, change)
    fits.check([newer], ["onnx"])
    with pytest.raises(BundleError, match=r"lite-fp32 in .* reads bytecode 4 to 9"):
        fits.check([newer], None)


def test_formats_that_the_bundle_does_not_have_are_refused(tiny_bundle) -> None:
    with pytest.raises(UnknownName, match="onxx") as caught:
        measure.measure(tiny_bundle, ["onxx"])
    assert "onnx" in caught.value.hint
    with pytest.raises(BundleError, match="no executorch file"):
        measure.measure(tiny_bundle, ["executorch"])
    with pytest.raises(UsageError, match="no format"):
        measure.measure(tiny_bundle, [])
