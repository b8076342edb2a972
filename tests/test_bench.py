"""Measuring, with real runners on a tiny bundle, and the command `kit bench`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from conftest import rewrite

import kit
from kit.bench import answers, measure, plan, rows
from kit.errors import BundleError, RunError, UnknownName, UsageError
from kit.results import statistics, store
from kit.results.schema import LatencyResult, Plan

FAST = Plan(
    name="custom", warmup_runs=1, warmup_seconds=0, runs=20, seconds=0, repeats=2, max_seconds=20
)


def test_presets() -> None:
    assert plan.preset("default", 3) == Plan(threads=3)
    official = plan.preset("official")
    assert official.runs >= 1024
    assert official.seconds >= 60
    assert official.max_seconds > official.seconds
    quick = plan.preset("quick")
    assert quick.repeats == 1
    assert [plan.preset(n).name for n in ("quick", "default", "official")] == [
        "quick",
        "default",
        "official",
    ]


@pytest.fixture(scope="session")
def quantized(tiny_bundle, tmp_path_factory):
    """The tiny bundle under another name, whose ONNX file is said to be quantized."""

    def change(fields) -> None:
        lite, onnx = fields["artifacts"]
        fields["artifacts"] = (onnx.model_copy(update={"quantize": "static"}),)
        fields["recipe"] = fields["recipe"].model_copy(update={"quantize": "static"})

    return rewrite(tiny_bundle, tmp_path_factory.mktemp("q") / "int8", {}, change)


@pytest.fixture(scope="session")
def measured(tiny_bundle, quantized) -> tuple[list[LatencyResult], list[str]]:
    labels: list[str] = []
    results = measure.measure_all(
        [tiny_bundle, str(quantized.path)],
        ["onnx"],
        FAST,
        lambda done, total, label: labels.append(f"{done}/{total} {label}"),
    )
    return results, labels


def test_processes_are_interleaved_over_bundles(measured) -> None:
    assert measured[1] == [
        "0/6 tiny onnx: time",
        "1/6 int8 onnx: time",
        "2/6 tiny onnx: time",
        "3/6 int8 onnx: time",
        "4/6 tiny onnx: memory",
        "5/6 int8 onnx: memory",
        "6/6 done",
    ]


def test_a_result_says_all_about_each_run(measured, tiny_bundle) -> None:
    (result, _), _ = measured
    (run,) = result.runs
    assert result.bundle.hash == tiny_bundle.hash
    assert (run.format, run.quantize, run.via, run.plan) == ("onnx", "none", "python", FAST)
    assert [len(p.samples_ns) for p in run.processes] == [20, 20]
    assert all(p.load_ns > 0 and p.first_ns > 0 and p.cpu_ns for p in run.processes)
    assert run.processes[0].samples_ns != run.processes[1].samples_ns
    assert run.golden_max_abs == pytest.approx(0, abs=1e-5)
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
    assert any("p99" in w for w in run.warnings)  # of 40 samples


def test_a_result_survives_the_disk(measured, tmp_path) -> None:
    for result in measured[0]:
        store.write(result, tmp_path / "r.json")
        assert store.read(tmp_path / "r.json") == result


def test_equal_reference_models_are_measured_once(tiny_bundle, quantized, monkeypatch) -> None:
    asked: list[str] = []

    def fail(_device, request, _variables):
        asked.append(request.format)
        raise RunError("stop", "here")

    monkeypatch.setattr(measure.drive, "run", fail)
    folder = measure.local.open(None).folder()
    with folder as opened:
        names = ["reference", "onnx"]
        targets = measure._targets([tiny_bundle, quantized], names, FAST, opened)
        assert [(t.bundle.path.name, t.name) for t in targets] == [
            ("tiny", "reference"),
            ("tiny", "onnx"),
            ("int8", "onnx"),
        ]
    with pytest.raises(RunError, match="stop"):
        measure.measure(tiny_bundle, ["onnx"], FAST)
    assert asked == ["onnx"]


@pytest.mark.slow
def test_the_api_takes_a_folder_and_measures_all_its_formats(tiny_bundle) -> None:
    one = FAST.model_copy(update={"repeats": 1})
    result = kit.measure(str(tiny_bundle.path), plan=one)
    assert [run.format for run in result.runs] == ["lite", "onnx"]
    assert [run.threads for run in result.runs] == [1, None]


@pytest.mark.slow
def test_executorch_obeys_the_number_of_threads(tmp_path) -> None:
    """Its own default is a thread for each core."""
    import torch
    from torch import nn

    from kit import formats
    from kit.devices import local
    from kit.runners import drive
    from kit.runners.protocol import Request

    image = np.random.default_rng(0).normal(size=(1, 3, 64, 64)).astype("<f4")
    layers = [nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1)]
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 64 * 64, 10)).eval()
    formats.get("executorch").export(net, torch.from_numpy(image), tmp_path / "model.pte")
    (tmp_path / "in.bin").write_bytes(image.tobytes())
    for threads in (1, 2):
        found = drive.run(
            local.open(None),
            Request(
                format="executorch",
                model=str(tmp_path / "model.pte"),
                input=str(tmp_path / "in.bin"),
                shape=image.shape,
                out=str(tmp_path / "out.bin"),
                warmup=3,
                warmup_seconds=0,
                iters=50,
                min_seconds=0.3,
                max_seconds=20,
                threads=threads,
            ),
            drive.environment(threads),
        )
        assert found.start is not None
        assert found.end is not None
        assert found.start.obeyed == threads
        assert found.end.cpu_ns is not None
        used = found.end.cpu_ns / sum(found.samples)
        assert used < threads + 0.3  # never more; fewer where the machine is busy


# A fast wrong answer is no result.


def test_an_answer_is_compared_with_the_golden_one(tiny_bundle) -> None:
    _, expected = answers.load(tiny_bundle, "onnx")
    fine = expected + np.float32(1e-6)
    assert answers.check("onnx", "none", fine.tobytes(), expected) == pytest.approx(1e-6, rel=0.1)
    assert answers.check("lite", "static", expected.tobytes(), expected) == 0.0
    near = expected + 0.05 * np.abs(expected).max() * np.float32([1, -1] * 3 + [1])
    assert answers.check("onnx", "static", near.astype("<f4").tobytes(), expected) > 0


@pytest.mark.parametrize(
    ("name", "method", "change", "words"),
    [
        ("onnx", "none", lambda e: e * 1.1, "SQNR of 20.0 dB, below 40 dB"),
        ("reference", "none", lambda e: e[:, ::-1], "below 40 dB"),
        ("onnx", "static", lambda e: -e, "SQNR of -6.0 dB"),
        ("lite", "static", lambda e: e + 1e-3, "off by up to 0.001, where lite is exact"),
        ("onnx", "static", lambda e: e * np.nan, "not finite"),
        ("onnx", "static", lambda e: e[:, 1:], "6 numbers instead of 7"),
        ("onnx", "static", lambda e: e[:, :0], "0 numbers instead of 7"),
    ],
)
def test_a_wrong_answer_is_an_error(name, method, change, words, tiny_bundle) -> None:
    _, expected = answers.load(tiny_bundle, name)
    answer = change(expected).astype("<f4").tobytes()
    with pytest.raises(RunError, match=words) as caught:
        answers.check(name, method, answer, expected)
    assert caught.value.message.startswith(f"{name}: ")


def test_a_bundle_whose_answer_is_another_fails(tiny_bundle, tmp_path) -> None:
    _, expected = answers.load(tiny_bundle, "onnx")
    other = rewrite(tiny_bundle, tmp_path / "other", {"golden/onnx.npy": -expected})
    with pytest.raises(RunError, match="golden input 0 is not the bundle's"):
        measure.measure(other, ["onnx"], FAST)


def test_golden_files_that_cannot_be_used(tiny_bundle, tmp_path) -> None:
    flat = rewrite(tiny_bundle, tmp_path / "flat", {"golden/input.npy": np.zeros((2, 5))})
    with pytest.raises(BundleError, match=r"has the shape \(1, 5\)"):
        answers.load(flat, "onnx")

    def without(fields) -> None:
        fields["golden"] = fields["golden"].model_copy(update={"outputs": {}})

    none = rewrite(tiny_bundle, tmp_path / "none", {}, without)
    with pytest.raises(BundleError, match="no golden output of onnx"):
        measure.measure(none, ["onnx"], FAST)


def test_formats_that_cannot_be_measured(tiny_bundle) -> None:
    with pytest.raises(UnknownName, match="onxx") as caught:
        measure.measure(tiny_bundle, ["onxx"])
    assert "onnx" in caught.value.hint
    with pytest.raises(BundleError, match="no executorch file"):
        measure.measure(tiny_bundle, ["executorch"])
    with pytest.raises(UsageError, match="no format"):
        measure.measure(tiny_bundle, [])


# The rows of the table.


def altered(result: LatencyResult, factor: float, **fields: object) -> LatencyResult:
    (run,) = result.runs
    steps = [1 + i / 1000 for i in range(200)]
    samples = tuple(int(5e6 * factor * step) for step in steps)
    process = run.processes[0].model_copy(update={"samples_ns": samples})
    update = {"processes": (process,), **fields}
    return result.model_copy(update={"runs": (run.model_copy(update=update),)})


def test_int8_that_is_slower_is_said(measured) -> None:
    tiny, int8 = measured[0]
    table = rows.rows([altered(tiny, 1.0), altered(int8, 2.0)])
    (said,) = rows.slower_than_float(table)
    assert said.startswith("onnx static is 2.0× slower than onnx none here: 11.0 against 5.5 ms")
    (said,) = rows.slower_than_float(rows.rows([altered(tiny, 1.0), altered(int8, 1.0005)]))
    assert "is not faster than" in said
    assert rows.slower_than_float(rows.rows([altered(tiny, 1.0), altered(int8, 0.5)])) == []


@pytest.mark.parametrize(
    "changed", [{"format": "lite"}, {"via": "native"}, {"plan": Plan(threads=2)}]
)
def test_int8_is_compared_with_its_own_float_only(measured, changed) -> None:
    tiny, int8 = measured[0]
    table = rows.rows([altered(tiny, 1.0, **changed), altered(int8, 2.0)])
    assert rows.slower_than_float(table) == []


def test_speed_up_is_against_the_reference(measured) -> None:
    tiny, int8 = measured[0]
    table = rows.rows([altered(tiny, 4.0, format="reference"), altered(int8, 1.0)])
    speedup = rows.against_reference(table[1], table)
    assert speedup is not None
    assert speedup.ratio == pytest.approx(4, rel=1e-3)
    assert rows.against_reference(table[0], table) is None
    assert rows.against_reference(table[1], table[1:]) is None


# The command.


def run(*arguments: str | Path, temp: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | ({"TMPDIR": str(temp)} if temp else {})
    return subprocess.run(
        [sys.executable, "-m", "kit", "bench", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


def test_json_is_one_object_and_nothing_else(tiny_bundle, quantized, tmp_path) -> None:
    temp = tmp_path / "temp"
    temp.mkdir()
    done = run(
        tiny_bundle.path, quantized.path, "--format", "onnx", "--quick", "--json",
        "-o", tmp_path / "out", temp=temp,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert list(found) == ["results"]
    assert [(r["format"], r["quantize"]) for r in found["results"]] == [
        ("onnx", "none"),
        ("onnx", "static"),
    ]
    for name, row in zip(("tiny", "int8"), found["results"], strict=True):
        saved = store.read(tmp_path / "out" / f"{name}.json")
        assert isinstance(saved, LatencyResult)
        samples = [ns for p in saved.runs[0].processes for ns in p.samples_ns]
        assert row["samples_ns"] == samples
        assert row["median_ms"] == statistics.median_ms(samples)
        assert row["ci95_ms"][0] <= row["median_ms"] <= row["ci95_ms"][1]
        assert row["median_ms"] <= row["p90_ms"] <= row["p99_ms"]
        assert row["threads"] == 1
        assert row["peak_rss_mb"] is None  # --quick leaves the memory pass out
        assert row["context"]["environment"]["OMP_WAIT_POLICY"] == "passive"
        assert isinstance(row["stable"], bool)
        assert row["load_ms"] > 0
        assert row["first_ms"] > 0
    assert "quick plan, 1 ×" in done.stderr
    assert list(temp.iterdir()) == []


def test_the_table_and_one_result_file(tiny_bundle, tmp_path) -> None:
    file = tmp_path / "deep" / "one.json"
    done = run(tiny_bundle.path, "--format", "onnx", "--quick", "-o", file)
    assert done.returncode == 0, done.stderr
    for word in ("format", "median", "p90", "p99", "load", "first", "memory", "onnx"):
        assert word in done.stdout
    assert isinstance(store.read(file), LatencyResult)
    assert "governor" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "BUNDLE"),
        (["--quick", "--official"], 2, "exclude each other"),
        (["--threads", "0"], 2, "0 is not in the range"),
        (["--format", "onxx"], 2, "did you mean onnx"),
        (["--format", ","], 2, "no format"),
        (["--format", "executorch"], 4, "no executorch file"),
        (["-o", "/proc/none/r.json"], 7, "/proc/none/r.json"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(arguments, code, words, tiny_bundle) -> None:
    done = run(*([tiny_bundle.path] if arguments else []), *arguments)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "hint: " in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("stage", ["start", "sampling"])
def test_ctrl_c_leaves_nothing_behind(stage: str, tiny_bundle, tmp_path) -> None:
    temp, out = tmp_path / "temp", tmp_path / "result.json"
    temp.mkdir()
    command = [sys.executable, "-m", "kit", "bench", str(tiny_bundle.path), "--format", "onnx"]
    process = subprocess.Popen(
        [*command, "--official", "-o", str(out)],
        env=os.environ | {"TMPDIR": str(temp)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    child = child_of(process.pid)
    if stage == "sampling":  # past the imports, in the warm-up
        until(lambda: child.cpu_times().user > 1.0)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130, stderr
    assert "interrupted" in stderr
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    assert list(temp.iterdir()) == []
    assert not out.exists()


def test_a_runner_ends_when_kit_is_killed(tiny_bundle, tmp_path) -> None:
    command = [sys.executable, "-m", "kit", "bench", str(tiny_bundle.path), "--format", "onnx"]
    process = subprocess.Popen(
        [*command, "--official"],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    child = child_of(process.pid)
    process.kill()
    process.wait()
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def child_of(pid: int) -> psutil.Process:
    """Return the runner that a `kit bench` has started."""
    found: list[psutil.Process] = []

    def look() -> bool:
        found[:] = [c for c in psutil.Process(pid).children() if "--format" in c.cmdline()]
        return bool(found)

    until(look)
    return found[0]


def until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited for a minute"
        time.sleep(0.05)
