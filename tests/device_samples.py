"""Device connections for the tests of measuring: kit's own adb client, keys made once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from virtual_device import ports
from virtual_device.device import Device as Virtual

from kit.devices import selection
from kit.devices.adb import AdbDevice
from kit.devices.retry import RECONNECT_SECONDS, RetryingTransport
from kit.devices.storage import TransferProgress
from kit.devices.transport import Transport
from kit.results.latency import LatencyResult, Plan

# Start of a runner's command line.
RUNNER = "/data/local/tmp/kit/sets/"
STAY = "stay_on_while_plugged_in"
# One short process without a memory pass.
QUICK = Plan(
    name="quick",
    warmup_runs=1,
    warmup_seconds=0,
    runs=8,
    seconds=0,
    repeats=1,
    max_seconds=20,
    memory=False,
)
# One process that runs until it is killed.
ENDLESS = QUICK.model_copy(
    update={"name": "custom", "seconds": 100.0, "max_seconds": 100.0, "memory": True}
)


@pytest.fixture(scope="session")
def adb_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("adb-keys")


@pytest.fixture
def direct(monkeypatch: pytest.MonkeyPatch, adb_keys: Path) -> Iterator[None]:
    """Hide this machine's adb server and unset the selected device: kit connects directly."""
    for name in ("ANDROID_SERIAL", "ADB_SERVER_SOCKET", "ANDROID_ADB_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ANDROID_USER_HOME", str(adb_keys))
    with ports.closed() as port:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
        yield


@contextmanager
def connected(
    serial: str, reconnect_seconds: float = RECONNECT_SECONDS
) -> Iterator[RetryingTransport]:
    with closing(
        RetryingTransport(selection.open_transport(serial), reconnect_seconds)
    ) as transport:
        yield transport


@contextmanager
def opened(
    serial: str,
    reconnect_seconds: float = RECONNECT_SECONDS,
    wrap: Callable[[Transport], Transport] = lambda one: one,
    keep: bool = False,
    sent: TransferProgress = lambda done, of: None,
) -> Iterator[AdbDevice]:
    inner = wrap(selection.open_transport(serial))
    with closing(AdbDevice(RetryingTransport(inner, reconnect_seconds), keep, sent)) as device:
        yield device


def is_whole(result: LatencyResult, samples: int) -> bool:
    """Return whether a result of one process has all samples and the right answer."""
    (run,) = result.runs
    (process,) = run.processes
    return (
        len(process.samples_ns) >= samples
        and run.golden_max_abs < 1e-5
        and process.cpu_ns is not None
        and np.isfinite(process.samples_ns).all()
    )


def left(device: Virtual, before: dict[str, str] | None = None) -> list[str]:
    """Return leftovers of a measurement on a device: files not kept, settings, processes."""
    actual = [
        name
        for name in device.files()
        if name.endswith(".part") or not name.startswith(("kit/blobs/", "kit/sets/"))
    ]
    if device.state.settings()["global"] != (before or {}):
        actual.append(f"settings {device.state.settings()['global']}")
    if device.state.fixed_performance not in ("false", "unsupported"):
        actual.append("fixed performance")
    deadline = time.monotonic() + 3  # a killed process takes a moment to disappear
    while runners(device) and time.monotonic() < deadline:
        time.sleep(0.02)
    return [*actual, *runners(device)]


def runners(device: Virtual) -> list[str]:
    """Return the command lines of running runners, and of their parents, on a device."""
    lines = [" ".join(p.arguments) for p in device.processes()]
    return [line for line in lines if line.startswith(RUNNER) or ">out 2>err" in line]


def halt(device: Virtual) -> bool:
    """Stop the runners on a device where they stand; whether there are any.

    An endless one would keep a core busy as long as a test waits for something else.
    """
    numbers = running(device)
    for number in numbers:
        os.kill(number, signal.SIGSTOP)
    return bool(numbers)


def outlives(device: Virtual) -> bool:
    """Let halted runners go on; whether one is still there after what ended it meanwhile, if so."""
    for number in running(device):
        os.kill(number, signal.SIGCONT)
    time.sleep(0.1)
    return bool(running(device))


def running(device: Virtual) -> list[int]:
    """Return the numbers, on this machine, of the runners that live on a device."""
    return [p.pid for p in device.processes() if " ".join(p.arguments).startswith(RUNNER)]


def until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.02)


def kit(*arguments: str | Path) -> subprocess.Popen[str]:
    """Start `kit ARGUMENTS` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "kit", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ.copy(),
    )
