"""Whole measurements through an adb server that breaks, or whose device does."""

from __future__ import annotations

import functools
import threading
import time

import pytest
import virtual_device
from conftest import FAST
from device_samples import ENDLESS, halt, is_whole, left, opened, outlives, until
from native_samples import runner

from kit import cli
from kit.bench import measure
from kit.devices import adb, server_transport
from kit.devices.retry import RetryingTransport
from kit.errors import DeviceLost

pytestmark = pytest.mark.slow

PHASES = ("push", "start", "run", "poll", "pull")
HOWS = ("device", "server")
PLAN = FAST.model_copy(update={"seconds": 0.4, "repeats": 1})


class Breaking:
    """A connection through a server, which breaks in the middle of a step, once."""

    def __init__(self, inner, phase, cut):
        assert isinstance(inner, server_transport.ServerTransport)
        self.inner, self.serial, self._phase, self._cut = inner, inner.serial, phase, cut
        self.done, self._polls = False, 0

    def shell(self, command, timeout=20.0):
        if "setsid" in command and self._now("start"):
            threading.Timer(0.1, self._cut).start()  # it is started, and nobody hears of it
            command += "; sleep 1"
        elif "==kit:job" in command:
            self._polls += 1
            if self._now("run"):
                self._cut()
            elif self._polls == 2 and self._now("poll"):
                threading.Timer(0.1, self._cut).start()
                command = command.replace("==kit:store==; ", "==kit:store==; sleep 1; ", 1)
        return self.inner.shell(command, timeout)

    def push(self, file, target, mode=0o644, sent=None, modified=None):
        passed = 0

        def reports(count):
            nonlocal passed
            passed += count
            if passed > 5_000_000 and self._now("push"):
                self._cut()
            if sent:
                sent(count)

        self.inner.push(file, target, mode, reports, modified)

    def pull(self, source, file, limit):
        if self._now("pull"):
            self._cut()
        self.inner.pull(source, file, limit)

    def close(self):
        self.inner.close()

    def _now(self, phase):
        due = phase == self._phase and not self.done
        self.done |= due
        return due


class World:
    """A device behind a server, and what breaks one of them and mends it."""

    def __init__(self, device, server, how, back):
        self.device, self._server, self._how, self._back = device, server, how, back
        self.breaking, self.broken, self._endless = None, False, False

    def wrap(self, phase):
        self._endless = not self._back and phase in ("start", "run", "poll")

        def wrapped(inner):
            self.breaking = Breaking(inner, phase, self.cut)
            return self.breaking

        return wrapped

    def cut(self):
        self.broken = True
        if self._endless:
            threading.Thread(target=until, args=[self._is_halted], daemon=True).start()
        if self._how == "device":
            self.device.kill_daemon()
        else:
            self._server("kill-server")
        if self._back:
            threading.Timer(0.4, self.mend).start()

    def _is_halted(self):
        return not self.broken or halt(self.device)

    def mend(self):
        self.broken = False
        if self._how == "device":
            self.device.restart()
        else:
            self._server("start-server")


@pytest.fixture(scope="module")
def shared_device():
    runner("onnx")
    try:
        with virtual_device.running("x86_64", size_mb=192) as one:
            yield one
    except virtual_device.CannotRun as exc:
        pytest.skip(str(exc))


@pytest.fixture
def world(shared_device, adb_server):
    worlds = []

    def made(how, back, phase):
        adb_server.connect(shared_device.serial)
        if phase == "push":  # nothing is there yet
            with opened(shared_device.serial) as one:
                adb.clean(one.transport)
        worlds.append(World(shared_device, adb_server, how, back))
        return worlds[-1]

    yield made
    for one in worlds:
        if one.broken:  # the test failed
            one.mend()


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("how", HOWS)
def test_what_comes_back_is_measured_to_the_end(world, tiny_bundle, how, phase):
    one = world(how, True, phase)
    with opened(one.device.serial, wrap=one.wrap(phase)) as device:
        result = measure.measure(tiny_bundle, ["onnx"], PLAN, device=device)
    assert one.breaking.done
    assert is_whole(result, PLAN.runs)
    assert left(one.device) == []


@pytest.mark.parametrize(
    ("how", "phase"),  # one of a lost device: the server takes 5 s for each look
    [("device", "poll"), *(("server", phase) for phase in PHASES)],
)
def test_what_stays_away_is_an_error_and_put_in_order_later(world, tiny_bundle, how, phase):
    plan = PLAN if phase == "pull" else ENDLESS
    one = world(how, False, phase)
    with opened(one.device.serial, reconnect_seconds=1.0, wrap=one.wrap(phase)) as device:
        began = time.monotonic()
        with pytest.raises(DeviceLost, match="it did not come back in 1 s") as caught:
            measure.measure(tiny_bundle, ["onnx"], plan, device=device)
        assert time.monotonic() - began < 30, "the whole timeout passed"
        assert one.breaking.done
        output = f"{caught.value.message} {caught.value.hint}"
        assert ("adb start-server" in output) == (how == "server")
        if phase in ("run", "poll"):
            assert outlives(one.device), "it goes on without us"
        one.mend()
        result = measure.measure(tiny_bundle, ["onnx"], PLAN, device=device)
    assert is_whole(result, PLAN.runs)
    assert left(one.device) == []


def test_the_command_line_says_it_and_the_next_one_cleans_up(
    world, tiny_bundle, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(
        adb, "RetryingTransport", functools.partial(RetryingTransport, reconnect_seconds=1.0)
    )
    one = world("server", False, "run")
    before = one.device.state.settings()["global"]

    def cut():
        until(lambda: halt(one.device), 60)
        one.cut()

    thread = threading.Thread(target=cut)
    thread.start()
    options = ["--device", "auto", "--format", "onnx", "--official", "-o", str(tmp_path / "r")]
    assert cli.run(["bench", str(tiny_bundle.path), *options]) == 9
    thread.join()
    out, err = capsys.readouterr()
    assert (out, list(tmp_path.iterdir())) == ("", [])
    assert "connect to adb server failed: " in err or "the adb server closed the connection" in err
    assert "it did not come back in 1 s\nhint: " in err
    assert "`adb start-server`" in err
    assert "Traceback" not in err
    assert one.device.state.settings()["global"] != before
    one.mend()
    assert cli.run(["clean", "--device", one.device.serial]) == 0
    assert one.device.state.settings()["global"] == before
    assert left(one.device) == []
    assert list(one.device.storage.iterdir()) == []
