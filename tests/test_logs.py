"""Output of libraries is hidden; kit's own lines are shown."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bundle_samples import SMALL_NET
from PIL import Image

from kit import logs

pytestmark = pytest.mark.cold_start

NOISE = """
import ctypes, logging, os, sys, warnings
early = logging.StreamHandler()  # as of a library that was imported before
from kit import logs
logs.divert()

class Dynamic(logging.Handler):  # as torch has one
    stream = property(lambda self: sys.stderr)
    def emit(self, record):
        self.stream.write(self.format(record) + "\\n")

class Quiet(logging.Handler):
    def emit(self, record):
        pass

for number, handler in enumerate([early, logging.StreamHandler(), Dynamic(), Quiet(),
                                  logging.StreamHandler(sys.stdout)]):
    logger = logging.getLogger(f"lib{number}.part")
    logging.getLogger(f"lib{number}").addHandler(handler)
    logging.getLogger(f"lib{number}").propagate = isinstance(handler, Quiet)
    logger.warning("noise of logger %d", number)
logging.getLogger("plain").warning("noise of a plain logger")
logging.warning("noise of the root")
warnings.warn("noise of a warning")
os.write(2, b"noise of C\\n")
os.system("echo noise of a child >&2")
print("kit's own line", file=sys.stderr)
print("result")
"""


@pytest.fixture
def state(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("KIT_DEBUG", raising=False)
    return tmp_path / "state" / "kit" / "log" / "kit.log"


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


def test_every_kind_of_noise_goes_to_the_file(state):
    done = run(NOISE)
    assert done.stderr == "kit's own line\n"
    assert done.stdout == "result\n"
    text = state.read_text()
    kinds = [f"logger {number}" for number in range(5)]
    kinds += ["a plain logger", "the root", "a warning", "C", "a child"]
    assert [text.count(f"noise of {kind}\n") for kind in kinds] == [1] * len(kinds)
    assert stat.S_IMODE(state.stat().st_mode) == 0o600


def test_the_file_does_not_grow_for_ever(state):
    state.parent.mkdir(parents=True)
    state.write_bytes(b"old line\n" * (logs.MAX_BYTES // 9 + 1))
    run(NOISE)
    assert logs.KEPT_BYTES < state.stat().st_size < logs.KEPT_BYTES + 5000
    run(NOISE)
    assert state.read_text().count("noise of C\n") == 2


@pytest.mark.parametrize("obstacle", ["a file", "a link", "a FIFO", "no permission"])
def test_a_file_that_cannot_be_written_is_no_failure(state, tmp_path, obstacle):
    state.parent.parent.mkdir(parents=True)
    other = tmp_path / "other"
    other.write_text("mine")
    if obstacle == "a file":
        state.parent.write_text("in the way")
    else:
        state.parent.mkdir()
    if obstacle == "a link":
        state.symlink_to(other)
    elif obstacle == "a FIFO":
        os.mkfifo(state)
    elif obstacle == "no permission":
        state.mkdir()
    done = run(NOISE)
    assert (done.stdout, done.stderr) == ("result\n", "kit's own line\n")
    assert other.read_text() == "mine"


def test_without_stderr_it_still_works(state):
    command = f"exec 2>&-; exec {sys.executable} -m kit list"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "mobilenet_v2" in done.stdout


def test_debugging_shows_everything(state, monkeypatch):
    monkeypatch.setenv("KIT_DEBUG", "1")
    code = "import sys; sys.argv[1:] = ['list']\nfrom kit import cli\n"
    code += "import atexit, os; atexit.register(os.write, 2, b'noise')\ncli.run_command()"
    assert run(code).stderr == "noise"
    assert not state.exists()
    monkeypatch.delenv("KIT_DEBUG")
    assert run(code).stderr == ""
    assert state.read_text() == "noise"


# Real commands

OWN_LINES = re.compile(
    r" *\d+\.\d s  .+"
    r"|weights: .+|pictures: .+|vs its graph: .+|vs float, .+|\w+ computes in float: .+|warning: .+"
    r"|labels: .+|no labels .+|left out .+"
    r"|.+ cores, .+|quick plan, .+"
    r"|[\d,.]+(?: M)? multiply-adds.+"
    r"|and \d+ more .+|whole int8 model: .+|corrected, still float: .+|simulated; .+|"
)


def kit(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "400"}
    done = subprocess.run(
        [sys.executable, "-m", "kit", *words],
        capture_output=True,
        text=True,
        timeout=580,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    foreign = [line for line in done.stderr.splitlines() if not OWN_LINES.fullmatch(line)]
    assert foreign == []
    return done


@pytest.mark.slow
def test_commands_show_their_own_lines_only(state, tmp_path, monkeypatch):
    """The pictures have names that are not UTF-8, as old archives bring them."""
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(6):
        noise = np.random.default_rng(number).integers(0, 255, (130, 120, 3), np.uint8)
        Image.fromarray(noise).save(pictures / os.fsdecode(b"\xff%d.png" % number))
    target = str(tmp_path / "out")
    build = ["build", SMALL_NET, "--input", "32", "--json"]
    build += ["--format", "onnx,executorch,lite", "--observer", "percentile"]
    build += ["--calibrate", str(pictures), "-o", target]
    manifest = json.loads(kit(*build, "--calibration-images", "4").stdout)
    assert len(manifest["calibration"]["pictures"]) == 4
    actual = json.loads(kit("eval", target, "--images", str(pictures), "--json").stdout)
    assert [row["images"] for row in actual["results"]] == [2] * 4
    kit("bench", target, "--quick", "--runner", "python")
    json.loads(kit("cost", SMALL_NET, "--json").stdout)
    assert "KernelPreference" in state.read_text()  # else there was nothing to divert


@pytest.mark.slow
def test_an_analysis_shows_its_own_lines_only(state):
    small = ["--weights", "random", "--width", "0.35", "--resolution", "32"]
    kit("analyze", "mobilenet_v1", *small, "--pictures", "8")
    assert "KernelPreference" in state.read_text()
