"""Clocks that jump while a device is measured: its own, this machine's, and its uptime."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from threading import Thread

import pytest
import virtual_device
from conftest import FAST
from device_samples import ENDLESS, connected, halt, left, opened, runners, running, until
from native_samples import runner
from virtual_device import CannotRun, clocks

from kit.bench import measure, sustained
from kit.devices import device_job, locking
from kit.devices.locking import LOCK
from kit.devices.storage import ask
from kit.errors import DeviceError, DeviceLost
from kit.results import store

pytestmark = [pytest.mark.usefixtures("direct"), pytest.mark.slow]

HOUR, DAY = 3600, 86400
# One process of 2.5 s: long enough for a few jumps.
PLAN = FAST.model_copy(update={"seconds": 2.5, "repeats": 1})
OTHER = "0123456789abcdef some@where, process 1"


@pytest.fixture(scope="module")
def shared_device():
    """A device whose wall clock a test can move."""
    runner("onnx")
    try:
        with virtual_device.running("x86_64", size_mb=192) as one:
            one.jump(0)
            yield one
    except CannotRun as exc:
        pytest.skip(str(exc))


@pytest.fixture
def device(shared_device):
    yield shared_device
    shared_device.jump(0)
    assert left(shared_device) == []


def reports(transport) -> float:
    """Return how far the device's time of day is from this machine's, in seconds."""
    return float(ask(transport, "date +%s")) - time.time()


@contextmanager
def jumping(device, jumps):
    """Let the device's clock jump during its next run; give what `date` said there then."""
    output = []

    def jump():
        until(lambda: bool(running(device)))
        output.append(Path(f"/proc/{running(device)[0]}/maps").read_text())
        for seconds in jumps:
            device.jump(seconds)
            output.append(reports(transport))
            time.sleep(0.3)

    with connected(device.serial) as transport:
        thread = Thread(target=jump)
        thread.start()
        yield output
        thread.join()


def test_a_clock_that_jumps_there_changes_no_number(device, tiny_bundle, monkeypatch):
    monkeypatch.setattr(device_job, "CONDITION_SECONDS", 0.2)
    monkeypatch.setattr(device_job, "MAX_PAUSE", 0.2)
    with opened(device.serial) as one:
        measure.measure(tiny_bundle, ["onnx"], FAST, device=one)
        before, began = one.pushed, time.monotonic()
        with jumping(device, (HOUR, -DAY, HOUR, 0)) as output:
            (run,) = measure.measure(tiny_bundle, ["onnx"], PLAN, device=one).runs
        took = time.monotonic() - began
        assert one.pushed == before  # the times of files are still what they were
    maps, *offsets = output
    assert clocks.LIBRARY in maps  # the runner, too, with a loader of its own
    assert offsets == pytest.approx([HOUR, -DAY, HOUR, 0], abs=2)
    (process,) = run.processes
    assert all(0 < ns < 60e9 for ns in process.samples_ns)
    assert 0.9 * PLAN.seconds < sum(process.samples_ns) / 1e9 < took < 60
    assert 0 < process.first_ns < 60e9
    assert 0 < process.load_ns < 60e9
    seconds = [c.seconds for c in process.conditions]
    assert len(seconds) > 3
    assert all(0 < b - a < 10 for a, b in pairwise([0.0, *seconds]))
    assert sum(minute.count for minute in sustained.split_minutes(process, 0.5)) == len(
        process.samples_ns
    )
    assert run.golden_max_abs < 1e-5


@pytest.mark.parametrize("seconds", [HOUR, DAY, -DAY])
def test_a_lock_is_not_fooled_by_a_jump(device, seconds):
    with connected(device.serial) as transport, opened(device.serial) as one:
        with one.folder():
            device.jump(seconds)
            assert reports(transport) == pytest.approx(seconds, abs=2)
            with pytest.raises(DeviceError, match="in use by another kit"):
                locking.take(transport)
            assert locking.holds(transport, device.read(f"{LOCK}/owner").decode()[:16])
        old = f"$((${{now%.*}} - {locking.STALE_SECONDS + 5:.0f}))"
        for beat, free in (("$now", False), (old, True)):  # by uptime, whatever `date` says
            ask(
                transport,
                f"mkdir -p {LOCK}; read now rest </proc/uptime; "
                f"echo {OTHER!r} >{LOCK}/owner; echo {beat} >{LOCK}/beat",
            )
            if free:
                with one.folder():
                    pass
            else:
                with pytest.raises(DeviceError, match="in use by another kit"), one.folder():
                    pytest.fail("two at once")


# this machine's ---------------------------------------------------------------------------


@contextmanager
def child(code: str, folder: Path, *arguments: str):
    """Run Python with a time of day of its own, see `clocks.jump`."""
    clocks.make(folder)
    words = [sys.executable, "-c", code, *arguments]
    env = {**os.environ, **clocks.preload(folder)}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True, env=env) as one:
        yield one
        one.kill()


KIT = "from kit.cli import run_command; run_command()"


def test_a_clock_that_jumps_here_changes_no_number(device, tiny_bundle, tmp_path):
    file = tmp_path / "r.json"
    options = ["--format", "onnx", "--quick", f"--device={device.serial}", "-o", str(file)]
    began = time.monotonic()
    with child(KIT, tmp_path, "bench", str(tiny_bundle.path), *options) as one:
        until(lambda: bool(running(device)), 60)
        for jump in (HOUR, -DAY):
            clocks.jump(tmp_path, jump)
            time.sleep(0.3)
        out, err = one.communicate(timeout=60)
    took = time.monotonic() - began
    assert (one.returncode, "Traceback" in err) == (0, False), err
    result = store.read(file)
    late = result.created - datetime.now(UTC) - timedelta(seconds=-DAY)
    assert abs(late) < timedelta(minutes=2)  # kit itself saw the jump
    (run,) = result.runs
    (process,) = run.processes
    assert 0 < sum(process.samples_ns) / 1e9 < took
    assert run.golden_max_abs < 1e-5
    assert 0 < process.conditions[-1].seconds < took
    assert "onnx" in out


LOSE = """
import sys, time
from device_samples import ENDLESS, opened
from kit.bench import measure
from kit.errors import DeviceLost
with opened(sys.argv[1], reconnect_seconds=1.5) as device:
    began = time.monotonic()
    try:
        measure.measure(sys.argv[2], ["onnx"], ENDLESS, device=device)
    except DeviceLost as exc:
        print(exc.message, time.time())
"""


@pytest.mark.parametrize("seconds", [HOUR, -DAY])
def test_a_jump_here_moves_no_deadline(clean_device, tiny_bundle, tmp_path, seconds):
    device = clean_device
    with child(LOSE, tmp_path, device.serial, str(tiny_bundle.path)) as one:
        until(lambda: halt(device), 60)
        device.kill_daemon()
        began = time.monotonic()
        clocks.jump(tmp_path, seconds)
        out, err = one.communicate(timeout=60)
    assert 1.0 < time.monotonic() - began < 30
    assert (one.returncode, err) == (0, "")
    *words, now = out.split()
    assert "it did not come back in 1.5 s" in " ".join(words)
    assert float(now) - time.time() == pytest.approx(seconds, abs=30)


# the uptime -------------------------------------------------------------------------------


def test_a_device_that_starts_anew_is_reported_at_once(device, tiny_bundle):
    def restart():
        until(lambda: bool(running(device)))
        device.reboot()

    with opened(device.serial) as one:
        thread = Thread(target=restart)
        thread.start()
        began = time.monotonic()
        with pytest.raises(DeviceLost, match="it restarted during the measurement"):
            measure.measure(tiny_bundle, ["onnx"], ENDLESS, device=one)
        assert time.monotonic() - began < 30
        thread.join()
        assert left(device) == []
        before = one.pushed
        (run,) = measure.measure(tiny_bundle, ["onnx"], FAST, device=one).runs
        assert one.pushed == before
    assert run.golden_max_abs < 1e-5
    assert 0 < run.processes[-1].conditions[-1].seconds < 60


def test_a_restart_between_two_runs_is_reported(device, tiny_bundle):
    def say(done, *_):
        if done == 1:
            device.reboot(15)

    plan = FAST.model_copy(update={"repeats": 3})
    with opened(device.serial) as one, pytest.raises(DeviceLost, match="it restarted"):
        measure.measure(tiny_bundle, ["onnx"], plan, say, one)


def test_a_lock_does_not_outlive_a_restart(device):
    with connected(device.serial) as transport:
        ask(
            transport,
            f"mkdir -p {LOCK}; read now rest </proc/uptime; "
            f"echo {OTHER!r} >{LOCK}/owner; echo $now >{LOCK}/beat",
        )
        device.reboot(5)
        with opened(device.serial) as one, one.folder():
            assert runners(device) == []
