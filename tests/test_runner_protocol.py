"""The protocol of runners, the real Python runner, and misbehaving runners."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bundle_samples import answer_images

from kit import formats
from kit.bench import answers
from kit.devices import local
from kit.errors import RunError
from kit.runners import drive, profile, protocol, python
from kit.runners import transcript as transcripts
from kit.runners.protocol import (
    End,
    Exit,
    First,
    Iter,
    Load,
    Mem,
    Out,
    Profile,
    Request,
    Start,
    Warm,
)
from kit.signature import parse_specs

EVENTS = [
    Start(protocol=4, pid=7, threads=2, versions={"x": "1"}, cpus="f0", page=4096, clock="c"),
    Load(ns=5),
    First(ns=6),
    Warm(count=3, ns=20),
    Iter(ns=(4, 5)),
    Iter(ns=(6,)),
    Mem(peak_rss=10, base_rss=None, os_threads=1),
    Out(path="/tmp/é", tensors="float32:1,7;int64:"),
    Profile(path="/tmp/p", kind="etdump"),
    End(count=3, cpu_ns=14),
]
LINES = [protocol.dump(event) for event in EVENTS]
REQUEST = Request("onnx", "m", "i", "float32:1,3,32,32", "o", 2, 0.25, 5, 0.0, 9.5, 2)


def received(lines: list[str]) -> transcripts.Transcript:
    transcript = transcripts.Transcript()
    for line in lines:
        transcript.add(line)
    return transcript


def test_options_round_trip_through_the_command_line() -> None:
    assert python.parse(REQUEST.arguments()) == REQUEST
    assert REQUEST.arguments()[:2] == ["--format", "onnx"]
    assert "float32:1,3,32,32" in REQUEST.arguments()


@pytest.mark.parametrize("event", [*EVENTS, protocol.Error(at="load", msg='a "quote"\nand more')])
def test_an_event_round_trips_as_one_line(event: protocol.Event) -> None:
    assert "\n" not in protocol.dump(event)
    assert protocol.parse(protocol.dump(event)) == event


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[cpuinfo_utils.cpp:71] Reading file",
        "3",
        "null",
        "[1, 2]",
        "{}",
        '{"event": 3}',
        '{"event": ["load"]}',
        '{"event": "progress", "done": 1}',
        '{"event": "load", "ns": 5',
        "[" * 100_000,
        '{"event": "load", "ns": ' + "9" * 5000 + "}",
    ],
)
def test_other_lines_are_noise(line: str) -> None:
    assert protocol.parse(line) is None


def test_noise_is_recorded_between_the_events() -> None:
    transcript = received(["starting up", *LINES[:4], "cpuinfo: hm", *LINES[4:], ""])
    assert transcript.noise == ["starting up", "cpuinfo: hm"]
    assert transcript.missing() is None
    assert list(transcript.samples) == [4, 5, 6]


def test_an_unknown_key_is_ignored() -> None:
    assert protocol.parse(protocol.seal('{"event": "load", "ns": 5, "page": 4096}')) == Load(ns=5)


@pytest.mark.parametrize(
    "line",
    [
        '{"event": "load", "ns": -1}',
        '{"event": "iter", "ns": [5, 0]}',
        '{"event": "iter", "ns": ["fast"]}',
        '{"event": "iter"}',
        '{"event": "mem", "peak_rss": "much"}',
        '{"event": "profile", "path": "p", "kind": 3}',
        '{"event": "start", "protocol": 4, "pid": 1, "threads": 1, "versions": {}, "cpus": "x"}',
        '{"event": "load", "ns": 1000000000000000000000000000000}',
        '{"event": "iter", "ns": [5, 1000000000000001]}',
        '{"event": "first", "ns": 1e999}',
        '{"event": "mem", "peak_rss": 1e30}',
        '{"event": "mem", "peak_rss": -1}',
        '{"event": "end", "count": -3}',
        '{"event": "start", "protocol": 4, "pid": 1, "threads": 1, "versions": {"x": "'
        + "9" * 201
        + '"}}',
    ],
)
def test_an_impossible_event_is_an_error(line: str) -> None:
    with pytest.raises(RunError, match="impossible"):
        protocol.parse(protocol.seal(line))


@pytest.mark.parametrize("crc", ["", ',"crc":1', ',"crc":-1', ',"crc":"1"', ',"crc":1,"x":2'])
def test_an_event_without_its_checksum_is_refused(crc: str) -> None:
    for event in EVENTS:
        text = event.model_dump_json().removesuffix("}")
        with pytest.raises(RunError, match=r"has no checksum|altered on its way"):
            protocol.parse(f"{text}{crc}}}")
    with pytest.raises(RunError, match="has no checksum"):
        received([event.model_dump_json() for event in EVENTS])


@pytest.mark.parametrize(
    "order", ["load start", "first load", "start start", "iter mem iter", "end end"]
)
def test_events_out_of_order_are_refused(order: str) -> None:
    lines = {event.event: line for event, line in zip(EVENTS, LINES, strict=True)}
    with pytest.raises(RunError, match=r"the runner reports '\w+' after '\w+'"):
        received([lines[name] for name in order.split()])


def test_more_samples_than_requested_are_refused() -> None:
    most = transcripts.compute_max_samples(REQUEST)
    assert most == 5
    assert transcripts.compute_max_samples(replace(REQUEST, min_seconds=1.0)) == 2_000_005
    transcript = transcripts.Transcript(most)
    for line in [*LINES[:4], protocol.dump(Iter(ns=(1,) * most))]:
        transcript.add(line)
    with pytest.raises(RunError, match="more than the 5 samples that were possible"):
        transcript.add(protocol.dump(Iter(ns=(1,))))


def test_noise_is_limited_in_size() -> None:
    transcript = transcripts.Transcript()
    for _ in range(100):
        transcript.add("x" * 10_000)
    assert sum(map(len, transcript.noise)) <= 50 * 500
    with pytest.raises(RunError, match="more than 16 MiB of lines that are no events"):
        for _ in range(100):
            transcript.add("x" * 1_000_000)


@pytest.mark.parametrize("version", [0, 3, 5, None, "4"])
def test_a_different_protocol_version_is_refused(version: object) -> None:
    line = {"event": "start", "protocol": version, "pid": 1, "threads": 1, "versions": {}}
    with pytest.raises(RunError, match="speaks protocol"):
        protocol.parse(json.dumps(line))


@pytest.mark.parametrize("lost", range(len(LINES)))
def test_a_lost_line_is_detected(lost: int) -> None:
    missing = received([line for i, line in enumerate(LINES) if i != lost]).missing()
    # Warm-up and profile are optional.
    assert (missing is None) == isinstance(EVENTS[lost], Warm | Profile)


# What imports torch takes seconds to start.
NAMES = ["onnx", *(pytest.param(name, marks=pytest.mark.slow) for name in ("lite", "reference"))]


@pytest.fixture
def request_of(tiny_bundle, tmp_path: Path):
    """Return a request for a format of the tiny bundle, in a separate folder."""

    def make(name: str) -> Request:
        image = np.load(tiny_bundle.path / "golden/input.npy")[:1]
        (tmp_path / "in.bin").write_bytes(image.tobytes())
        return replace(
            REQUEST,
            format=name,
            model=str(tiny_bundle.file(name)),
            input=str(tmp_path / "in.bin"),
            out=str(tmp_path / "out.bin"),
            threads=1,
        )

    return make


@pytest.mark.parametrize("name", NAMES)
def test_the_python_runner_reports_all_fields(name, request_of, tiny_bundle, tmp_path) -> None:
    actual = drive.run(local.open(None), request_of(name), drive.make_environment(1))
    assert len(actual.samples) == 5
    assert actual.noise == []
    assert actual.start is not None
    assert actual.start.obeyed == {"onnx": None, "lite": 1, "reference": 1}[name]
    assert {"python", "kit"} < set(actual.start.versions)
    assert actual.mem is not None
    assert actual.mem.peak_rss is not None
    assert actual.mem.base_rss is not None
    assert 10e6 < actual.mem.base_rss <= actual.mem.peak_rss
    answer = np.fromfile(tmp_path / "out.bin", dtype="<f4")
    _, expected = answers.load(tiny_bundle, name)
    np.testing.assert_allclose(answer, expected.arrays[0][0], rtol=1e-4, atol=1e-5)


def test_the_python_runner_binds_itself_to_cores(request_of) -> None:
    core = max(os.sched_getaffinity(0))
    request = replace(request_of("onnx"), cpus=f"{1 << core:X}")
    actual = drive.run(local.open(None), request, drive.make_environment(1))
    assert actual.start is not None
    assert actual.start.cpus == f"{1 << core:x}"
    assert actual.start.page == os.sysconf("SC_PAGE_SIZE")
    assert actual.start.versions["runner"] == "python"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("onnx", "onnxruntime"), pytest.param("lite", "torch", marks=pytest.mark.slow)],
)
def test_the_python_runner_profiles(name, kind, request_of, tmp_path) -> None:
    request = replace(request_of(name), profile=str(tmp_path / "ops"))
    actual = drive.run(local.open(None), request, drive.make_environment(1))
    assert actual.profile is not None
    assert (actual.profile.kind, actual.profile.path) == (kind, request.profile)
    rows = profile.read_operators(tmp_path / "ops", name, kind, len(actual.samples))
    assert any("conv" in row.type.lower() and row.calls == 5 for row in rows)


def test_the_python_runner_cannot_profile_executorch(request_of) -> None:
    request = replace(request_of("onnx"), format="reference", profile="ops")
    with pytest.raises(RunError, match=r"exit code 8 at profile: .* cannot profile") as caught:
        drive.run(local.open(None), request, drive.make_environment(1))
    assert "kit runner build" in caught.value.hint


@pytest.mark.cold_start
def test_onnx_is_run_without_torch(request_of) -> None:
    """Importing torch takes seconds and 500 MB, which would be attributed to ONNX Runtime."""
    actual = drive.run(local.open(None), request_of("onnx"), drive.make_environment(1))
    assert actual.start is not None
    assert "torch" not in actual.start.versions
    assert actual.mem is not None
    assert actual.mem.base_rss is not None
    assert actual.mem.base_rss < 200e6


def test_files_of_the_working_directory_are_not_imported(request_of, tmp_path, monkeypatch) -> None:
    for name in ("numpy", "onnxruntime", "kit"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the directory')")
    monkeypatch.chdir(tmp_path)
    assert (
        len(drive.run(local.open(None), request_of("onnx"), drive.make_environment(1)).samples) == 5
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"format": "onxx"}, Exit.LOAD, "no format called 'onxx'"),
        ({"model": "garbage"}, Exit.LOAD, "cannot load"),
        ({"model": "/nowhere.onnx"}, Exit.LOAD, "cannot load"),
        ({"input": "/nowhere"}, Exit.INPUT, "/nowhere"),
        ({"inputs": "float32:1,3,99,99"}, Exit.INPUT, "not a multiple"),
        ({"inputs": "float32:1,3,16,64"}, Exit.RUN, "dimension"),
        ({"out": "/nowhere/out"}, Exit.OUTPUT, "/nowhere/out"),
        ({"threads": 0}, Exit.USAGE, "1 or more"),
        ({"rows": 0}, Exit.USAGE, "1 or more"),
        ({"rows": 3}, Exit.INPUT, "1 inputs, not 3"),
        ({"warmup": -1}, Exit.USAGE, "--warmup"),
        ({"max_seconds": float("nan")}, Exit.USAGE, "--max-seconds"),
        ({"inputs": "float32:1,0"}, Exit.USAGE, "shape.1"),
        ({"cpus": "0"}, Exit.USAGE, "--cpus"),
        ({"cpus": "0x1"}, Exit.USAGE, "--cpus"),
        ({"cpus": "8" + "0" * 200}, Exit.AFFINITY, "refuses"),
        ({"profile": "/nowhere/profile"}, Exit.PROFILE, "/nowhere"),
    ],
)
def test_each_stage_has_its_exit_code(change, code, words, request_of, tmp_path) -> None:
    if change.get("model") == "garbage":
        (tmp_path / "garbage").write_bytes(b"not a model" * 99)
        change = {"model": str(tmp_path / "garbage")}
    with pytest.raises(RunError) as caught:
        drive.run(
            local.open(None), replace(request_of("onnx"), **change), drive.make_environment(1)
        )
    assert f"exit code {int(code)} at {code.name.lower()}" in caught.value.message
    assert words.lower() in caught.value.message.lower()


@pytest.mark.parametrize("name", NAMES)
def test_every_input_of_a_file_is_answered(name, request_of, tmp_path) -> None:
    request = request_of(name)
    first = np.fromfile(request.input, "<f4")
    inputs = np.stack([first, np.roll(first, 5), first * 0.5])
    (tmp_path / "rows.bin").write_bytes(inputs.astype("<f4").tobytes())
    several = replace(request, input=str(tmp_path / "rows.bin"), rows=3)
    drive.run(local.open(None), several, drive.make_environment(1))
    together = np.fromfile(request.out, "<f4").reshape(3, -1)
    session = formats.get_format(name).load(Path(request.model), 1)
    specs = parse_specs(request.inputs)
    images = inputs.reshape(3, *specs[0].sample_shape)
    alone = answer_images(session, images)
    np.testing.assert_array_equal(together, alone)
    assert len({answer.tobytes() for answer in together}) == 3


def test_an_unknown_option_is_a_usage_error(capfd: pytest.CaptureFixture[str]) -> None:
    job = local.open(None).start((*drive.PYTHON, "--fast", "yes"), {})
    try:
        lines, code = wait(job)
    finally:
        job.kill()
    assert code == Exit.USAGE
    (event,) = [protocol.parse(line) for line in lines]
    assert isinstance(event, protocol.Error)
    assert event.at == "usage"


def test_a_long_warm_up_does_not_count_as_silence() -> None:
    lines = [*LINES[:2], protocol.dump(First(ns=400_000_000)), *LINES[3:]]
    script = (
        f"import time\nlines = {lines!r}\nprint(*lines[:2], sep='\\n', flush=True)\n"
        "time.sleep(1.6)\nprint(lines[2], flush=True)\n"
        "time.sleep(2.5)\nprint(*lines[3:], sep='\\n', flush=True)"
    )
    runner = (sys.executable, "-c", script)
    actual = drive.run(local.open(None), REQUEST, {}, runner, silence=2)
    assert list(actual.samples) == [4, 5, 6]


def wait(job: local.LocalJob) -> tuple[list[str], int]:
    actual: list[str] = []
    while True:
        lines, code = job.poll()
        actual += lines
        if code is not None:
            return actual, code
        time.sleep(0.02)
