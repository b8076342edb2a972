"""The native runner: built here, run here and on an emulated Arm processor."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import sysconfig
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache
from pathlib import Path

import native_samples as samples
import numpy as np
import pytest

from kit import formats, user_cache
from kit.artifact_key import ArtifactKey
from kit.bench import answers
from kit.devices import local
from kit.errors import MissingTool, RunError
from kit.runners import assemble, drive, emulation, native, profile, protocol
from kit.runners.protocol import Exit, Request
from kit.runners.transcript import Transcript
from kit.signature import stack

pytestmark = pytest.mark.slow
FORMATS = native.list_installed()
SILENT = {"onnx", "litert"}  # their interfaces do not tell the number of threads
CHECKING = {"litert"}  # they compare the shapes of inputs before the first inference


@pytest.fixture(scope="session")
def models(native_model) -> dict[tuple[str, str], Path]:
    pairs = [(name, method) for name in FORMATS for method in ("static", "none")]
    return {pair: native_model(*pair) for pair in pairs}


@pytest.fixture(scope="session")
def by_python(models, tmp_path_factory) -> Callable[[str, str], np.ndarray]:
    """Return a function: what the Python runner answers for a model, asked for once."""

    @cache
    def made(name: str, method: str) -> np.ndarray:
        folder = tmp_path_factory.mktemp("python")
        return samples.by_python(samples.request(folder, name, models[name, method]), folder)

    return made


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("built", [samples.runner, samples.arm_runner])
def test_no_runner_names_the_folder_of_its_runtime(built, name) -> None:
    """Assertions in the runtimes' headers name their file, which is elsewhere on each machine."""
    content = (built(name).folder / assemble.PROGRAM).read_bytes()
    for root in (sysconfig.get_paths()["purelib"], str(user_cache.find_folder("wheels"))):
        assert root.encode() not in content


# answers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["static", "none"])
@pytest.mark.parametrize("name", FORMATS)
def test_it_answers_as_the_python_runtime(name, method, models, by_python, tmp_path) -> None:
    request = samples.request(tmp_path, name, models[name, method])
    samples.run(samples.runner(name), request)
    result, wanted = samples.answer(request), by_python(name, method)
    assert result.shape == (1000,)
    assert wanted.std() > 0.1
    if name == "executorch" and method == "none":  # XNNPACK may add up in another order
        np.testing.assert_allclose(result, wanted, atol=1e-4)
    else:
        np.testing.assert_array_equal(result, wanted)


@pytest.mark.parametrize("name", FORMATS)
def test_the_arm_runner_answers_the_same(name, models, by_python, tmp_path) -> None:
    processor = "cortex-a53" if name == "lite" else "cortex-a76"  # see below
    command = samples.emulated(tmp_path / "root", processor)
    request = replace(samples.request(tmp_path, name, models[name, "static"]), warmup=0, iters=1)
    received = samples.run(samples.arm_runner(name), request, command)
    assert received.start is not None
    assert received.start.clock == "CLOCK_MONOTONIC_RAW"
    np.testing.assert_array_equal(samples.answer(request), by_python(name, "static"))


SEEN = [(name, processor) for name in FORMATS for processor in ("cortex-a53", "cortex-a72")]


@pytest.mark.parametrize(
    ("name", "processor"),
    # Emulated, Lite's library takes six seconds to load: on this processor it answered above.
    [pair for pair in SEEN if pair != ("lite", "cortex-a53")],
)
def test_the_arm_runner_sees_the_processor_that_is_emulated(name, processor, tmp_path) -> None:
    words = emulated_as(processor, name, tmp_path)
    done = subprocess.run([*words, "--format", name], capture_output=True, text=True)
    assert json.loads(done.stdout)["msg"] == "--cpus is required"
    assert done.returncode == Exit.USAGE


def test_without_an_arm_cpuinfo_it_says_so_instead_of_crashing(tmp_path) -> None:
    words = emulated_as("cortex-a53", "onnx", tmp_path)
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\nvendor_id\t: GenuineIntel\n")
    request = samples.request(tmp_path, "onnx", tmp_path / "model")
    done = subprocess.run([*words, *request.arguments()], capture_output=True, text=True)
    error = protocol.parse(done.stdout)
    assert isinstance(error, protocol.Error)
    if error.at == "load" and "model" in error.msg:
        pytest.skip("this qemu shows the processor that it emulates")
    assert (done.returncode, error.at) == (Exit.LOAD, "load")
    assert error.msg.startswith("/proc/cpuinfo describes no Arm processor")
    assert "-L FOLDER" in error.msg


def emulated_as(processor: str, name: str, root: Path) -> list[str]:
    try:
        result = emulation.find_processor(processor)
        return emulation.make_command(samples.arm_runner(name), result, root)
    except MissingTool as exc:
        pytest.skip(exc.message)


# protocol --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_it_says_it_all(name, models, tmp_path) -> None:
    core = max(os.sched_getaffinity(0))
    plain = samples.request(tmp_path, name, models[name, "static"])
    received = samples.run(samples.runner(name), replace(plain, threads=2, cpus=f"{1 << core:X}"))
    assert received.noise == []
    assert received.missing() is None
    assert len(received.samples) == 5
    start, mem, end = received.start, received.mem, received.end
    assert start is not None
    assert (start.protocol, start.threads, start.cpus) == (4, 2, f"{1 << core:x}")
    assert start.obeyed == (None if name in SILENT else 2)
    assert start.page == os.sysconf("SC_PAGE_SIZE")
    runtime = formats.get_format(name).runtime
    assert start.versions[runtime] == samples.runner(name).runtime_version
    assert start.versions["runner"].startswith("native, g++ ")
    assert mem is not None
    assert 1e6 < (mem.base_rss or 0) < (mem.peak_rss or 0)
    assert (mem.os_threads or 0) >= 1
    assert end is not None
    assert (end.cpu_ns or 0) > 0


def test_all_options_must_be_given(models, tmp_path) -> None:
    request = samples.request(tmp_path, "onnx", models["onnx", "static"])
    words = request.arguments()
    assert len(words) == 2 * len(fields(Request))
    for at in range(0, len(words), 2):
        lines, code = raw(samples.runner("onnx"), words[:at] + words[at + 2 :])
        assert code == Exit.USAGE
        assert json.loads(lines[-1])["msg"] == f"{words[at]} is required"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(
            ("--iters", v)
            for v in ("0", "-1", "", "1.5", "5x", " 5", "0x5", "99999999999999999999")
        ),
        *(("--warmup", v) for v in ("-1", "many")),
        *(("--threads", v) for v in ("0", "1025", "2,")),
        *(("--max-seconds", v) for v in ("nan", "inf", "-0.5", "1e10", "", "1s")),
        *(("--min-seconds", v) for v in ("NaN", "-inf")),
        *(("--inputs", v) for v in ("", "1,3", "float64:1", "float32:1,3,", "float32:1,,3")),
        *(("--inputs", f"float32:{v}") for v in ("1,0,3", "1,-3", "1x3", "1," * 9 + "1")),
        ("--inputs", ";".join(["int64:1"] * 33)),
        ("--inputs", "float32:100000,100000,100000,100000,100000"),
        *(("--cpus", v) for v in ("0", "000", "0x1", "g", "-1", "f" * 257)),
        ("--format", "lite"),
        ("--fast", "yes"),
    ],
)
def test_what_is_no_number_is_a_usage_error(option, value, models, tmp_path) -> None:
    words = samples.request(tmp_path, "onnx", models["onnx", "static"]).arguments()
    changed = [*words, option, value]
    if option in words:
        changed = [*words]
        changed[words.index(option) + 1] = value
    lines, code = raw(samples.runner("onnx"), changed)
    assert code == Exit.USAGE
    (error,) = [protocol.parse(line) for line in lines]
    assert isinstance(error, protocol.Error)
    assert error.at == "usage"
    assert option in error.msg


IN_MAIN = [  # of the sources that all runners have in common
    ({"threads": 0}, Exit.USAGE),
    ({"input": "/nowhere"}, Exit.INPUT),
    ({"inputs": "float32:1,3,99,99"}, Exit.INPUT),
    ({"out": "/nowhere/out"}, Exit.OUTPUT),
    ({"out": "/dev/full"}, Exit.OUTPUT),
    ({"cpus": "8" + "0" * 200}, Exit.AFFINITY),
]
IN_BACKENDS = [
    ({"model": "/nowhere"}, Exit.LOAD),
    ({"model": "garbage"}, Exit.LOAD),
    ({"inputs": "float32:1,6,96,48"}, Exit.RUN),
    ({"profile": "/nowhere/profile"}, Exit.PROFILE),
]


@pytest.mark.parametrize(
    ("name", "change", "code"),
    [
        *(("onnx", *case) for case in IN_MAIN),
        *((name, *case) for name in FORMATS for case in IN_BACKENDS),
    ],
)
def test_each_stage_fails_with_its_own_code(name, change, code, models, tmp_path) -> None:
    if change.get("model") == "garbage":
        (tmp_path / "garbage").write_bytes(b"not a model" * 99)
        change = {"model": str(tmp_path / "garbage")}
    if code is Exit.RUN and name in CHECKING:
        code = Exit.INPUT
    request = replace(samples.request(tmp_path, name, models[name, "static"]), **change)
    with pytest.raises(RunError) as caught:
        samples.run(samples.runner(name), request)
    assert f"exit code {int(code)} at {code.name.lower()}: " in caught.value.message
    assert caught.value.hint


def test_a_name_of_any_letters_is_reported_whole(models, tmp_path) -> None:
    odd = tmp_path / 'ä "quoted"\n\x01 $(name)'
    odd.mkdir()
    request = samples.request(odd, "onnx", models["onnx", "static"])
    received = samples.run(samples.runner("onnx"), request)
    assert received.out is not None
    assert received.out.path == request.out


def test_it_ends_when_kit_is_gone(models, tmp_path) -> None:
    request = replace(samples.request(tmp_path, "onnx", models["onnx", "static"]), min_seconds=60.0)
    command = [*samples.here(samples.runner("onnx")), *request.arguments()]
    parent = (
        "import os, subprocess, sys, time\n"
        "os.environ['KIT_RUNNER_PARENT'] = str(os.getpid())\n"
        "print(subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL).pid, flush=True)\n"
        "time.sleep(1)\n"
    )
    done = subprocess.run([sys.executable, "-c", parent, *command], capture_output=True, text=True)
    pid = int(done.stdout)
    deadline = time.monotonic() + 20
    while samples.alive(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not samples.alive(pid)


def test_on_a_device_it_outlives_its_connection_until_time_ends_it(models, tmp_path) -> None:
    request = replace(
        samples.request(tmp_path, "onnx", models["onnx", "static"]),
        iters=1_000_000_000,
        max_seconds=3.0,
    )
    command = [*samples.here(samples.runner("onnx")), *request.arguments()]
    script = "import subprocess, sys; subprocess.Popen(sys.argv[2:], stdout=open(sys.argv[1], 'w'))"
    log = tmp_path / "log"
    plain = {k: v for k, v in os.environ.items() if k != "KIT_RUNNER_PARENT"}
    subprocess.run([sys.executable, "-c", script, str(log), *command], env=plain, check=True)
    deadline = time.monotonic() + 30
    while '"end"' not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.1)
    events = [json.loads(line)["event"] for line in log.read_text().splitlines()]
    assert events.count("iter") >= 2  # lines come about every two seconds
    assert events == sorted(
        events, key=["start", "load", "first", "warm", "iter", "mem", "out", "end"].index
    )
    assert events[-1] == "end"


def without_output(folder: Path) -> Path:
    """Write a model whose output has no numbers: it keeps none of the rows of its input."""
    from onnx import TensorProto, helper, save

    shape = list(samples.SHAPE)
    numbers = {"starts": [0], "ends": [0], "axes": [0]}
    graph = helper.make_graph(
        [helper.make_node("Slice", ["x", *numbers], ["y"])],
        "empty",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [0, *shape[1:]])],
        [helper.make_tensor(k, TensorProto.INT64, [1], v) for k, v in numbers.items()],
    )
    opset = helper.make_opsetid("", 17)
    save(helper.make_model(graph, opset_imports=[opset], ir_version=8), folder / "empty.onnx")
    return folder / "empty.onnx"


@pytest.mark.parametrize("runner", ["native", "python"])
def test_a_model_without_output_is_an_error(runner, tmp_path) -> None:
    request = samples.request(tmp_path, "onnx", without_output(tmp_path))
    words = drive.PYTHON if runner == "python" else samples.here(samples.runner("onnx"))
    with pytest.raises(RunError, match=r"exit code 5 at run: .*empty"):
        drive.run(local.open(None), request, drive.make_environment(1), words)
    assert not Path(request.out).exists()


# broken files ----------------------------------------------------------------------------


TURNS = {"lite": 16}  # of 40: its library takes ten times as long to load as the others


@pytest.mark.parametrize("name", FORMATS)
def test_a_broken_model_file_never_hangs_it(name, models, by_python, tmp_path) -> None:
    """It is refused, or kit notices what is wrong with its answer."""
    chance, ends, turns = random.Random(name), Counter[int](), TURNS.get(name, 40)
    request = replace(
        samples.request(tmp_path, name, tmp_path / "broken"), warmup=0, iters=1, max_seconds=1.0
    )
    for turn in range(turns):
        method = ("static", "none")[turn // 4 % 2]
        whole = models[name, method].read_bytes()
        (tmp_path / "broken").write_bytes(broken(whole, turn, chance))
        Path(request.out).unlink(missing_ok=True)
        lines, code = raw(samples.runner(name), request.arguments())
        ends[code] += 1
        last = protocol.parse(lines[-1]) if lines else None
        # A runtime may also abort or crash: then the signal says so, and no line claims an end.
        ended = {0: protocol.End}.get(code, protocol.Error if code > 0 else protocol.Start)
        assert isinstance(last, ended) or (code < 0 and not isinstance(last, protocol.End))
        if code == 0 and method == "none" and is_believed(request, by_python(name, method)):
            # 40 dB is what a float answer is held to.
            noise = np.square(samples.answer(request) - by_python(name, method)).sum()
            assert noise <= 1.0001e-4 * np.square(by_python(name, method)).sum()
    assert set(ends) <= {0, Exit.LOAD, Exit.INPUT, Exit.RUN, -6, -11, -7, -8}
    assert ends[Exit.LOAD] > turns / 4


def is_believed(request: Request, expected: np.ndarray) -> bool:
    """Whether kit takes an answer of a float file for the one that it should be."""
    answer, golden = Path(request.out).read_bytes(), stack("logits", expected[None])
    try:
        answers.check(ArtifactKey(request.format, "fp32"), "none", answer, golden)
    except RunError:
        return False
    return True


def broken(whole: bytes, turn: int, chance: random.Random) -> bytes:
    """Cut a file off, or change some bytes: anywhere, at its begin or at its end."""
    if turn % 4 == 0:
        return whole[: chance.randrange(len(whole))]
    data = bytearray(whole)
    first, last = ((0, len(data)), (0, 8192), (len(data) - 40_000, len(data)))[turn % 4 - 1]
    for _ in range(chance.choice((1, 4, 64))):
        data[chance.randrange(max(first, 0), last)] = chance.randrange(256)
    return bytes(data)


# profiles --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def profiled(models, tmp_path_factory) -> Callable[[str], tuple[Path, Transcript]]:
    """Return a function: the folder of a format's run with a profile, `ops`, and what it says."""

    @cache
    def made(name: str) -> tuple[Path, Transcript]:
        folder = tmp_path_factory.mktemp("profile")
        request = samples.request(folder, name, models[name, "static"])
        return folder, samples.run(
            samples.runner(name), replace(request, profile=str(folder / "ops"))
        )

    return made


@pytest.mark.parametrize(
    ("name", "kind", "words", "count"),
    [
        ("executorch", "etdump", "Convolution (NHWC, QC8)", 4),  # others are fully connected there
        ("onnx", "onnxruntime", "QLinearConv", 9),
        ("lite", "torch", "quantized::conv2d", 9),
        ("litert", "litert", "Convolution (NHWC, QC8)", 4),  # as in executorch
    ],
)
def test_a_profile_has_a_row_for_each_operator(name, kind, words, count, profiled) -> None:
    folder, received = profiled(name)
    assert received.profile is not None
    assert (received.profile.kind, received.profile.path) == (kind, str(folder / "ops"))
    rows = profile.read_operators(folder / "ops", name, kind, len(received.samples))
    convolutions = [row for row in rows if words in row.type]
    assert len(convolutions) == count
    assert {row.calls for row in rows} == {5}
    # The operators' times are those of the samples: no warm-up is in them. A sample in which
    # another program had the core says nothing.
    undisturbed = len(received.samples) * min(received.samples)
    assert 0.3 * undisturbed < sum(row.total_ns for row in rows) <= sum(received.samples)
    assert sorted(p.name for p in folder.iterdir()) == ["in.bin", "ops", "out.bin"]


def test_the_profile_of_lite_names_the_nodes_that_show_prints(profiled, models) -> None:
    folder, received = profiled("lite")
    rows = profile.read_operators(folder / "ops", "lite", "torch", len(received.samples))
    (graph,) = formats.get_format("lite").read_structure(models["lite", "static"]).graphs
    assert [row.name for row in rows] == [node.name for node in graph.nodes if node.name]
    assert any(node.operator == "prim::ListConstruct" for node in graph.nodes)


DAMAGED = [b"", b"[]", b"[3]", b"{}", b"\xff\x00\x01" * 99]


@pytest.mark.parametrize(
    ("name", "kind", "content"),
    [
        (*pair, one)
        for pair in (
            *(("onnx", "onnxruntime"), ("lite", "torch"), ("litert", "litert")),
            ("executorch", "etdump"),
        )
        for one in DAMAGED
    ],
)
def test_a_damaged_profile_is_an_error(name, kind, content, tmp_path) -> None:
    (tmp_path / "ops").write_bytes(content)
    with pytest.raises(RunError, match=f"the {kind} profile .*ops"):
        profile.read_operators(tmp_path / "ops", name, kind, 5)


def test_a_profile_of_another_kind_is_an_error(tmp_path) -> None:
    (tmp_path / "ops").write_text('{"name": "conv2d", "calls": 5, "ns": 10}\n')
    assert profile.read_operators(tmp_path / "ops", "lite", "torch", 5)
    with pytest.raises(RunError, match="profiles of lite are of the kind torch"):
        profile.read_operators(tmp_path / "ops", "lite", "etdump", 5)


# the cache -------------------------------------------------------------------------------


def take_program_of(built: native.RunnerSet, monkeypatch) -> None:
    """Let a build take the program of a runner instead of compiling the same once more."""
    program = (built.folder / assemble.PROGRAM).read_bytes()
    monkeypatch.setattr(
        assemble, "compile_program", lambda job, tools, main, target: target.write_bytes(program)
    )


def test_a_runner_is_found_until_a_file_of_it_is_damaged(monkeypatch, tmp_path) -> None:
    built = samples.runner("onnx")
    assert native.find(built.abi, "onnx") == built
    assert built in native.list_runners()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert native.find(built.abi, "onnx") is None
    printed: list[str] = []
    (again,) = native.build(built.abi, ["onnx", "onnx"], printed.append)
    assert again.folder.is_relative_to(tmp_path)
    assert "compiling the onnx runner" in printed[0]
    assert native.find(built.abi, "onnx") == again
    take_program_of(again, monkeypatch)
    with (again.folder / "runner").open("ab") as file:
        file.write(b"x")
    assert native.find(built.abi, "onnx") is None
    assert native.build(built.abi, ["onnx"]) == [again]
    leftovers = [p for p in again.folder.parent.iterdir() if p != again.folder]
    assert leftovers == []


def test_old_runners_and_what_a_killed_build_left_are_dropped(monkeypatch, tmp_path) -> None:
    built = samples.runner("onnx")
    take_program_of(built, monkeypatch)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = tmp_path / "kit" / "runners" / built.abi
    left = f".lite-2.kit-{'0' * 16}.part"
    for age, name in enumerate(["onnx-1", "onnx-2", "onnx-3", "lite-1", left]):
        (place / name).mkdir(parents=True)
        long_ago = time.time() - 90_000 - age
        os.utime(place / name, (long_ago, long_ago))
    (again,) = native.build(built.abi, ["onnx"])
    kept = {"onnx-1", "onnx-2", "lite-1", again.folder.name}
    assert {p.name for p in place.iterdir()} == kept
    assert native.list_runners() == [again]


def raw(runner: native.RunnerSet, arguments: list[str]) -> tuple[list[str], int]:
    """Run a runner as it is, with little memory, and return its lines and its exit code."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    done = subprocess.run(
        [*samples.here(runner), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=limit,
        timeout=60,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return done.stdout.decode(errors="replace").splitlines(), done.returncode
