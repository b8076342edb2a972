"""The command `kit bench`, and what it leaves behind when it is stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from kit.results import statistics, store
from kit.results.schema import LatencyResult


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
    assert list(found) == ["results", "comparisons", "recommended"]
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
        (["-o", "/proc/none/r.json"], 7, "cannot write to /proc/none"),
        (["-o", "/proc/r.json"], 7, "cannot write to /proc"),
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


@pytest.mark.slow
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
