"""Runners that misbehave in ways a real one cannot be made to: scripts in their place."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

import psutil
import pytest
from test_runner_protocol import LINES, REQUEST

from kit.devices import local
from kit.errors import DeviceError, RunError
from kit.files import temporary
from kit.runners import drive
from kit.runners.protocol import Exit
from kit.runners.transcript import Transcript


def fake(script: str, silence: float = 60.0) -> Transcript:
    header = (
        f"import os, sys, time\nlines = {LINES!r}\n"
        "say = lambda *l: print(*l, sep='\\n', flush=True)\n"
    )
    runner = (sys.executable, "-c", header + script)
    return drive.run(local.open(None), REQUEST, {}, runner, silence)


def test_a_fake_runner_that_behaves_is_believed() -> None:
    result = fake("say('hello', *lines)")
    assert list(result.samples) == [4, 5, 6]
    assert result.noise == ["hello"]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("os.kill(os.getpid(), 9)", ["onnx", "signal 9 (SIGKILL)", "before its first event"]),
        ("say(*lines[:2]); os.kill(os.getpid(), 11)", ["signal 11 (SIGSEGV)", "after 'load'"]),
        ("say(*lines[:2]); sys.exit(139)", ["signal 11 (SIGSEGV)", "after 'load'"]),
        ("say(*lines[:5]); print(lines[5][:9], end='')", ["breaks off after 'iter'", "no 'mem'"]),
        ("say(*lines[:5], *lines[6:])", ["breaks off", "2 of 3 samples"]),
        ("pass", ["breaks off before its first event", "no 'start' line"]),
        ("say(*lines[:3]); print('oh', file=sys.stderr); sys.exit(5)", ["exit code 5", "oh"]),
        ("say(*lines); sys.exit(6)", ["exit code 6"]),
        ("for i in range(9): print('row', i, file=sys.stderr)\nsys.exit(70)", ["row 6", "row 8"]),
    ],
)
def test_a_runner_that_fails_is_named(script: str, words: list[str]) -> None:
    with pytest.raises(RunError) as caught:
        fake(script)
    for word in words:
        assert word in caught.value.message
    assert "row 5" not in caught.value.message  # the last lines, not all


def test_a_full_disk_is_named_by_its_folder_on_this_machine() -> None:
    with pytest.raises(RunError, match="could not write what it measured") as caught:
        fake(f"say(*lines[:2]); sys.exit({Exit.OUTPUT:d})")
    assert f"make space in {temporary.find_root()}," in caught.value.hint


def test_a_silent_runner_is_ended() -> None:
    with pytest.raises(RunError, match=r"reported nothing for 2 s after 'load'"):
        fake("say(*lines[:2]); time.sleep(600)", silence=2)


def test_a_program_that_is_not_there_is_a_device_error() -> None:
    with pytest.raises(DeviceError, match="/nowhere/runner"):
        drive.run(local.open(None), REQUEST, {}, ("/nowhere/runner",))


@pytest.fixture
def marked() -> Iterator[str]:
    """A mark in the command line of a test's children, by which they are found."""
    mark = f"kit-test-{os.getpid()}-{time.monotonic_ns()}"
    yield mark
    for process in alive(mark):
        process.kill()


def alive(mark: str) -> list[psutil.Process]:
    result = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if mark in words and process.info["status"] != psutil.STATUS_ZOMBIE:
            result.append(process)
    return result


@pytest.mark.parametrize("ending", ["time.sleep(600)", "sys.exit(5)", "say(*lines)"])
def test_what_a_runner_started_dies_with_it(ending: str, marked: str) -> None:
    script = (
        "import subprocess\n"
        f"subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', {marked!r}])\n"
        f"{ending}"
    )
    if ending.startswith("say"):
        fake(script)
    else:
        with pytest.raises(RunError):
            fake(script, silence=0.5)
    deadline = time.monotonic() + 10
    while alive(marked) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive(marked) == []


def test_variables_of_the_shell_do_not_reach_the_runtime(monkeypatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    monkeypatch.setenv("GOMP_SPINCOUNT", "1000000")
    monkeypatch.setenv("KIT_TEST_KEPT", "yes")
    # Of noise the first lines are kept: a shell with many variables would fill it.
    reports = "('OMP', 'GOMP', 'ORT', 'KIT')"
    script = f"say(*(k + '=' + v for k, v in os.environ.items() if k.startswith({reports})))"
    script += "\nsay(*lines)"
    header = f"import os\nlines = {LINES!r}\nsay = lambda *l: print(*l, sep='\\n')\n"
    result = drive.run(
        local.open(None),
        REQUEST,
        drive.make_environment(2),
        (sys.executable, "-c", header + script),
    )
    assert "OMP_WAIT_POLICY=passive" in result.noise
    assert "OMP_NUM_THREADS=2" in result.noise
    assert "ORT_DISABLE_TELEMETRY=1" in result.noise
    assert "KIT_TEST_KEPT=yes" in result.noise
    assert not [line for line in result.noise if line.startswith("GOMP_")]
