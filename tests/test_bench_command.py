"""The command `kit bench`: output, result files, and cleanup after an interruption."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import click
import psutil
import pytest
from rich.console import Console

from kit import cli, terminal
from kit.bench.rows import list_rows
from kit.commands import app
from kit.commands.bench import make_plan, show
from kit.commands.common import latency_table, measurement, slower
from kit.errors import UsageError, VerificationFailed
from kit.json_outputs import read_output
from kit.notices import make_notice
from kit.results import statistics, store
from kit.results.latency import LatencyResult, Recommendation, Run
from kit.results.statistics import Interval
from kit.runners import native
from kit.runners.native import RunnerSet

pytestmark = pytest.mark.cold_start


def run(*arguments: str | Path, temp: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | ({"TMPDIR": str(temp)} if temp else {})
    return subprocess.run(
        [sys.executable, "-m", "kit", "bench", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


@pytest.mark.slow
def test_json_is_one_object_and_nothing_else(tiny_bundle, quantized, tmp_path) -> None:
    temp = tmp_path / "temp"
    temp.mkdir()
    done = run(
        tiny_bundle.path, quantized.path, "--format", "onnx", "--quick", "--json",
        "-o", tmp_path / "out", temp=temp,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    read_output("bench", done.stdout)
    actual = json.loads(done.stdout)
    assert list(actual) == ["results", "comparisons", "notices", "recommended"]
    assert [(r["format"], r["quantize"]) for r in actual["results"]] == [
        ("onnx", "none"),
        ("onnx", "static"),
    ]
    for name, row in zip(("tiny", "int8"), actual["results"], strict=True):
        saved = store.read(tmp_path / "out" / f"{name}.json")
        assert isinstance(saved, LatencyResult)
        samples = [ns for p in saved.runs[0].processes for ns in p.samples_ns]
        assert row["samples_ns"] == samples
        assert row["median_ms"] == statistics.compute_median_ms(samples)
        assert row["process_medians_ms"] == [row["median_ms"]]
        assert row["ci95_ms"] is None  # there is only one process
        assert row["median_ms"] <= row["p90_ms"] <= row["p99_ms"]
        assert row["threads"] == 1
        assert row["peak_rss_mb"] is None  # --quick has no memory pass
        assert row["context"]["environment"]["OMP_WAIT_POLICY"] == "passive"
        assert isinstance(row["stable"], bool)
        assert row["load_ms"] > 0
        assert row["first_ms"] > 0
    assert "quick plan, 1 ×" in done.stderr
    assert list(temp.iterdir()) == []


@pytest.mark.slow
def test_the_table_and_one_result_file(tiny_bundle, tmp_path) -> None:
    file = tmp_path / "deep" / "one.json"
    done = run(tiny_bundle.path, "--format", "onnx", "--quick", "-o", file)
    assert done.returncode == 0, done.stderr
    for word in ("file", "median", "p90", "p99", "load", "first", "memory", "onnx"):
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
        (["--cool", "inf"], 2, "finite"),
        (["--cool", "nan"], 2, "finite"),
        (["--precision", "nan"], 2, "finite"),
        (["--cool-wait", "nan"], 2, "finite"),
        (["--cool-wait", "inf"], 2, "finite"),
        (["--sustained", "nan"], 2, "finite"),
        (["--sustained", "inf"], 2, "finite"),
        (["--cpus", "0x" + "1" * 257], 2, "has 257 digits; 256 are the most"),
        (["--sweep", "threads", "--threads", "1"], 2, "--threads has no place"),
        (["--sweep", "threads", "--cpus", "all"], 2, "--cpus has no place"),
        (["--sustained", "1", "--repeats", "3"], 2, "--repeats has no place"),
        (["--sustained", "1", "--pairs", "9"], 2, "--pairs has no place"),
        (["--pairs", "20"], 2, "is for bundles side by side"),
        (["--sustained", "1", "--quick"], 2, "--quick has no place"),
        (["--sustained", "1", "--official"], 2, "--official has no place"),
        (["--keep"], 2, "--keep leaves files on a device"),
        (["--keep", "--device", "local"], 2, "--keep leaves files on a device"),
        (["-o", "/proc/none/r.json"], 7, "cannot write to /proc/none"),
        (["-o", "/proc/r.json"], 7, "cannot write to /proc"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(
    arguments, code, words, tiny_bundle, capsys
) -> None:
    assert bench(*([tiny_bundle.path] if arguments else []), *arguments) == code
    out, err = capsys.readouterr()
    assert words in err
    assert "hint: " in err
    assert "Traceback" not in err
    assert out == ""


@pytest.mark.parametrize("stage", ["start", pytest.param("sampling", marks=pytest.mark.slow)])
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
    if stage == "sampling":  # after the imports, in the warm-up
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
    """Wait for the runner of a `kit bench` process, and return it."""
    actual: list[psutil.Process] = []

    def look() -> bool:
        for child in psutil.Process(pid).children():
            with suppress(psutil.NoSuchProcess):  # a child that has ended, or a zombie
                if "--format" in child.cmdline():
                    actual.append(child)
        return bool(actual)

    until(look)
    return actual[0]


def until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited for a minute"
        time.sleep(0.05)


def bench(*arguments: str | Path) -> int:
    return cli.run(["bench", *map(str, arguments)])


@pytest.fixture
def fake(direct, measured, monkeypatch):
    """Replace measurements by a stored result: these tests are about result files."""
    monkeypatch.setattr(measurement, "measure_device", lambda *_: measured[0][:1])
    monkeypatch.setattr(measurement, "measure_serial", lambda *_: measured[0][:1])


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_results_in_a_folder_are_never_replaced(fake, tiny_bundle, tmp_path) -> None:
    output = ["-o", f"{tmp_path}/new/"]
    for device in ([], [], ["--device", "a:b"], ["--device", "a_b"], ["--device", "a_b"]):
        assert bench(tiny_bundle.path, *device, *output) == 0
    assert names(tmp_path / "new") == [
        "a%3Ab-tiny.json", "a_b-tiny-2.json", "a_b-tiny.json", "tiny-2.json", "tiny.json"
    ]  # fmt: skip


def test_a_fifo_is_not_replaced(tiny_bundle, tmp_path, capsys) -> None:
    os.mkfifo(tmp_path / "pipe")  # not /dev/null, which root could replace
    assert bench(tiny_bundle.path, "-o", tmp_path / "pipe") == 7
    assert "it is no file" in capsys.readouterr().err
    assert not (tmp_path / "pipe").is_file()


def test_app_bench_creates_a_result_folder(direct, measured, tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(
        app, "_measure", lambda serial, *_: measurement.Measured(serial, measured[0][:1])
    )
    output = ["-o", f"{tmp_path}/new/"]
    assert cli.run(["app", "bench", str(tiny_bundle.path), "--device", "a:b", *output]) == 0
    assert names(tmp_path / "new") == ["a%3Ab-tiny.json"]


def test_a_named_result_file_is_replaced(fake, tiny_bundle, tmp_path) -> None:
    file = tmp_path / "r.json"
    file.write_text("old")
    assert bench(tiny_bundle.path, "-o", file) == 0
    assert isinstance(store.read(file), LatencyResult)
    assert names(tmp_path) == ["r.json"]


def test_devices_are_read_from_the_environment(fake, tiny_bundle, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ANDROID_SERIAL", "one,two")
    assert bench(tiny_bundle.path, "--device", "auto", "-o", tmp_path / "out") == 0
    assert names(tmp_path / "out") == ["one-tiny.json", "two-tiny.json"]


def test_a_sweep_has_no_comparisons(measured, tiny_bundle, capsys) -> None:
    results = measured[0]
    swept = [
        r.model_copy(update={"recommended": {"onnx": Recommendation(threads=1)}}) for r in results
    ]
    for measured_results, count in ((results, 1), (swept, 0)):
        show([measurement.Measured("local", measured_results)], as_json=True, sustained=False)
        text = capsys.readouterr().out
        read_output("bench", text)
        assert len(json.loads(text)["comparisons"]) == count


def slowed(result: LatencyResult, name: str, factor: float) -> LatencyResult:
    """Return a result of eight stable processes with samples scaled by a factor."""
    (run,) = result.runs
    steady = tuple(
        run.processes[0].model_copy(
            update={"samples_ns": tuple(round(factor * (1e6 + 100 * (i + p))) for i in range(50))}
        )
        for p in range(8)
    )
    bundle = result.bundle.model_copy(update={"name": name})
    runs = (run.model_copy(update={"processes": steady}),)
    return result.model_copy(update={"bundle": bundle, "runs": runs})


def test_only_a_bundle_slower_than_the_limit_fails(measured, capsys) -> None:
    result = measured[0][0]
    old = slowed(result, "old", 1.0)
    for factor, limit, fails in (
        (1.3, 5, True),
        (1.3, 40, False),
        (1.0, 5, False),
        (0.8, 0, False),
    ):
        tables = [list_rows([old, slowed(result, "new", factor)])]
        if fails:
            with pytest.raises(VerificationFailed, match=r"onnx-fp32 of new takes 30\.0 % longer"):
                slower.check(tables, limit)
        else:
            slower.check(tables, limit)
    assert capsys.readouterr().err == ""
    few = [one.model_copy(update={"runs": (_first_process(one),)}) for one in (old, old)]
    slower.check([list_rows(few)], 5)
    assert "not known whether slower: onnx-fp32 of old" in capsys.readouterr().err
    slower.check([list_rows(measured[0])], 0)  # the bundles have no file in common


def _first_process(result: LatencyResult) -> Run:
    (run,) = result.runs
    return run.model_copy(update={"processes": run.processes[:1]})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["one"], "--max-slower compares with the first of several bundles"),
        (["one", "two", "--quick"], "--quick compares no bundles"),
        (["one", "two", "--sweep", "threads"], "--sweep compares no bundles"),
    ],
)
def test_max_slower_needs_bundles_to_compare(words, message, capsys) -> None:
    assert cli.run(["bench", *words, "--max-slower", "0"]) == UsageError.exit_code
    assert message in capsys.readouterr().err


def test_commands_of_the_page_about_changes_are_valid() -> None:
    text = (Path(__file__).parents[1] / "docs/slower.md").read_text(encoding="utf-8")
    lines = re.findall(r"^    kit (.+)$", text, re.MULTILINE)
    assert len(lines) == 11
    for line in lines:
        name, *words = shlex.split(line)
        command = cli.main.get_command(click.Context(cli.main), name)
        command.make_context(name, words)  # raises a usage error for unknown options


def test_rows_of_several_bundles_name_theirs_and_of_one_do_not(measured, capsys) -> None:
    latency_table.print_rows(list_rows(measured[0]))
    title, head, _, *lines = filter(None, map(str.strip, capsys.readouterr().out.splitlines()))
    assert head.split()[:3] == ["bundle", "file", "quantize"]
    assert [line.split()[:2] for line in lines[:2]] == [
        ["tiny", "onnx-fp32"],
        ["int8", "onnx-int8"],
    ]
    latency_table.print_rows(list_rows(measured[0][:1]))
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    head = next(at for at, words in enumerate(shown) if words[:2] == ["file", "quantize"])
    title = " ".join(word for words in shown[:head] for word in words)  # may take two lines
    run = measured[0][0].runs[0]
    assert title.endswith(f" px, 1 thread, {run.device.name}, {run.via} runner")


def test_the_legend_explains_the_columns_that_are_filled(measured, capsys) -> None:
    (row, _) = list_rows(measured[0])
    latency_table.print_rows([replace(row, memory=None, stable=True)])
    assert capsys.readouterr().out.splitlines()[-1].endswith("times in ms, sizes in MB")
    latency_table.print_rows([replace(row, memory=5_000_000, stable=False)])
    *_, first, second = capsys.readouterr().out.splitlines()
    assert first == "times in ms, sizes in MB; !: see the warnings"
    assert second == "memory: above the empty runtime's"
    skewed = replace(row.median, median=2.0, interval=Interval(1.5, 4.5))
    latency_table.print_rows([replace(row, median=skewed, stable=True)])
    out = capsys.readouterr().out
    assert "±: half the 95 % interval of the median over processes" in out
    assert re.search(r"2\.00 +1\.50 ", out)


def test_warnings_among_several_bundles_name_theirs(measured) -> None:
    notice = make_notice("samples.few")
    first, second = list_rows(measured[0])
    doubted = replace(first, run=first.run.model_copy(update={"notices": (notice,)}))
    calm = replace(second, run=second.run.model_copy(update={"notices": ()}))
    (line,) = (line for line in latency_table.list_doubts([doubted, calm]) if "samples" in line)
    assert " tiny onnx-fp32: " in line


def test_the_actual_number_of_processes_is_printed(measured) -> None:
    (row, _) = list_rows(measured[0])
    processes = row.run.processes
    more = row.run.model_copy(update={"processes": (*processes, *processes, *processes)})
    (_, line) = latency_table.describe_context([replace(row, run=more)])
    assert line.startswith("custom plan, 6 × 20 samples; ")


def test_cool_does_not_override_quick() -> None:
    options = dict.fromkeys(("official", "threads", "repeats", "pairs", "precision", "cool_wait"))
    made = make_plan({**options, "quick": True, "cool": 30.0, "sustained": None})
    assert (made.name, made.cool_c, made.repeats) == ("quick", 30.0, 1)
    made = make_plan({**options, "quick": False, "cool": 30.0, "sustained": None})
    assert made.name == "custom"


def test_pairs_set_the_maximum_of_added_pairs() -> None:
    options = dict.fromkeys(
        ("quick", "official", "threads", "repeats", "precision", "cool", "cool_wait", "sustained")
    )
    assert make_plan({**options, "pairs": None}).max_pairs == 32
    made = make_plan({**options, "pairs": 96})
    assert (made.name, made.repeats, made.max_pairs) == ("custom", 3, 96)
    assert make_plan({**options, "pairs": 96, "sustained": 1.0}).max_pairs is None


def test_versions_of_a_runner_are_distinguished(monkeypatch, capsys) -> None:
    def built(name: str) -> RunnerSet:
        return RunnerSet("x86_64", "onnx", Path(name), {}, "onnxruntime", "1", 2, 4096, "2.34", "c")

    hashes = ("0123456789abcdef", "fedcba9876543210")
    monkeypatch.setattr(native, "list_runners", lambda: [built(f"/cache/onnx-{h}") for h in hashes])
    assert cli.run(["runner", "list"]) == 0
    out = capsys.readouterr().out
    assert all(one[:8] in out for one in hashes)


def test_the_list_of_runners_is_not_cut_at_80_columns(monkeypatch, capsys) -> None:
    runner = RunnerSet(
        "arm64-v8a", "executorch", Path("/cache/executorch-0123456789abcdef"), {},
        "ai-edge-litert", "2.3.0", 2, 65536, "2.34", "c"
    )  # fmt: skip
    monkeypatch.setattr(native, "list_runners", lambda: [runner])
    monkeypatch.setattr(terminal, "make_console", lambda *_: Console(width=80, file=sys.stdout))
    assert cli.run(["runner", "list"]) == 0
    out = capsys.readouterr().out
    assert "…" not in out
    for shown in ("arm64-v8a", "executorch", "ai-edge-litert", "2.3.0", "64", "01234567"):
        assert shown in out
