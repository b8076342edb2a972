"""A device that is lost in the middle of a measurement, in every way and at every step."""

from __future__ import annotations

import functools
import shutil
import threading
import time
from contextlib import ExitStack, closing, contextmanager

import pytest
import virtual_device
from conftest import FAST
from device_samples import ENDLESS, halt, is_whole, left, opened, outlives, until
from native_samples import runner
from virtual_device.relay import Relay

from kit import cli
from kit.bench import measure
from kit.devices import adb, direct_transport, retry, selection, timeouts
from kit.devices.retry import RetryingTransport
from kit.errors import DeviceLost
from kit.results import store

pytestmark = pytest.mark.usefixtures("direct")

PHASES = ("push", "start", "run", "poll", "pull")
HOWS = ("fin", "rst", "silence", "kill")
# Long enough that the run is under way when it is looked at.
PLAN = FAST.model_copy(update={"seconds": 0.4, "repeats": 1, "memory": False})

# How long kit waits between looks, in seconds, once a connection is cut.
HURRIED = (
    (direct_transport, "SILENCE", 1.0),
    (direct_transport, "SLICE", 0.3),
    (timeouts, "SLICE", 0.3),
    (retry, "PAUSE_SECONDS", 0.1),
)
RECONNECT_SECONDS = 0.5  # timeout for a device that does not come back


class Losing:
    """A connection that is cut at a step of a measurement, the first time it comes to it."""

    def __init__(self, inner, phase, cut, noticed):
        self.inner, self.serial, self._phase, self._cut = inner, inner.serial, phase, cut
        self._noticed = noticed
        self.done = False

    def shell(self, command, timeout=20.0):
        if "setsid" in command:
            self._meet("start", 1, "from_device")  # it is started, and nobody hears of it
        elif "grep -q" in command:
            self._meet("leave", 0, "either")  # it looks whether the lock is still ours
        elif "==kit:job" in command:
            self._meet("run", 0, "either")
            self._meet("poll", 30, "from_device")
        with self._noticing():
            return self.inner.shell(command, timeout)

    def push(self, file, *rest):
        if file.stat().st_size > 10_000_000:
            self._meet("push", 5_000_000, "to_device")
        with self._noticing():
            self.inner.push(file, *rest)

    def pull(self, source, file, limit):
        self._meet("pull", 10, "from_device")
        with self._noticing():
            self.inner.pull(source, file, limit)

    def close(self):
        self.inner.close()

    @contextmanager
    def _noticing(self):
        try:
            yield
        except DeviceLost:
            self._noticed()
            raise

    def _meet(self, phase, after, direction):
        if phase == self._phase and not self.done:
            self.done = True
            self._cut(after, direction)


class World:
    """A device behind a relay that cuts, and what is needed to bring it back.

    From a cut on, silence counts as a loss after a second, and a lost device is asked again
    often. `usual` leaves that as it is for users.
    """

    def __init__(self, device, how, back, stack, usual=False):
        self.device, self._how, self._back, self._usual = device, how, back, usual
        self.relay = stack.enter_context(Relay(device.port))
        self.losing, self._endless, self._ended = None, False, False
        self._hurry = pytest.MonkeyPatch()
        stack.callback(self._hurry.undo)

    def wrap(self, phase):
        self._endless = not self._back and phase in ("start", "run", "poll")

        def wrapped(inner):
            self.losing = Losing(inner, phase, self._cut, self._noticed)
            return self.losing

        return wrapped

    def _noticed(self):
        if self._back:
            self._hurry.undo()

    def _cut(self, after, direction):
        if not self._usual:
            for module, name, seconds in HURRIED:
                self._hurry.setattr(module, name, seconds)
        if self._endless:
            threading.Thread(target=until, args=[self._is_halted], daemon=True).start()
        if self._how != "kill":
            self.relay.cut(self._how, after=after, direction=direction, back=self._back)
            return
        if after > 100:  # in the middle of the push
            threading.Timer(0.02, self._kill).start()
        else:
            self._kill()

    def _kill(self):
        self.device.kill_daemon()
        if self._back:
            threading.Timer(0.4, self.device.restart).start()

    def _is_halted(self):
        return self._ended or halt(self.device)

    def restore(self):
        self._ended = True
        self._hurry.undo()
        if self._how == "kill":
            self.device.restart()
        else:
            self.relay.restore()


@pytest.fixture(scope="module")
def shared_device():
    """A device that has the files already: each test leaves it as it was."""
    runner("onnx")
    try:
        with virtual_device.running("x86_64", size_mb=192) as one:
            yield one
    except virtual_device.CannotRun as exc:
        pytest.skip(str(exc))


@pytest.fixture
def world(shared_device):
    with ExitStack() as stack:

        def made(how, back, phase):
            if phase == "push":  # else the files are there already
                shutil.rmtree(shared_device.storage / "kit", ignore_errors=True)
            return World(shared_device, how, back, stack, usual=back and phase == "poll")

        yield made


CASES = [
    pytest.param(how, phase, marks=[pytest.mark.slow] if (how, phase) != ("rst", "poll") else [])
    for how in HOWS
    for phase in PHASES
]


@pytest.mark.parametrize(("how", "phase"), CASES)
def test_a_device_that_comes_back_is_measured_to_the_end(world, tiny_bundle, how, phase):
    one = world(how, True, phase)
    with opened(one.relay.serial, wrap=one.wrap(phase)) as device:
        result = measure.measure(tiny_bundle, ["onnx"], PLAN, device=device)
    assert one.losing.done
    assert is_whole(result, PLAN.runs)
    assert left(one.device) == []


LOST = [pytest.param(how, phase, marks=pytest.mark.slow) for how in HOWS for phase in PHASES]


@pytest.mark.parametrize(("how", "phase"), LOST)
def test_a_device_that_stays_away_is_an_error_and_put_in_order_later(
    world, tiny_bundle, tmp_path, monkeypatch, how, phase
):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    plan = PLAN if phase == "pull" else ENDLESS
    one = world(how, False, phase)
    with opened(
        one.relay.serial, reconnect_seconds=RECONNECT_SECONDS, wrap=one.wrap(phase)
    ) as device:
        began = time.monotonic()
        with pytest.raises(DeviceLost, match=r"it did not come back in 0\.5 s") as caught:
            measure.measure(tiny_bundle, ["onnx"], plan, device=device)
        assert time.monotonic() - began < 60, "the whole timeout passed"
        assert caught.value.exit_code == 9
        assert list(tmp_path.iterdir()) == []
        if phase in ("run", "poll"):
            assert outlives(one.device), "it goes on without us"
        one.restore()
        result = measure.measure(tiny_bundle, ["onnx"], PLAN, device=device)
    assert is_whole(result, PLAN.runs)
    assert left(one.device) == []


@pytest.mark.parametrize("back", [True, False])
def test_a_loss_in_the_clean_up_costs_no_result(world, tiny_bundle, back):
    one = world("rst", back, "leave")
    with opened(
        one.relay.serial, reconnect_seconds=RECONNECT_SECONDS, wrap=one.wrap("leave")
    ) as device:
        result = measure.measure(tiny_bundle, ["onnx"], PLAN, device=device)
        assert one.losing.done
        assert is_whole(result, PLAN.runs)
        if back:
            assert device.notices == []
        else:
            (notice,) = device.notices
            assert "did not come back in 0.5 s" in notice.values["reason"]
            assert left(one.device) != []
            one.restore()
            with device.folder():  # the next one cleans up
                pass
    assert left(one.device) == []


def test_the_command_line_keeps_a_result_when_the_clean_up_fails(
    world, tiny_bundle, tmp_path, capsys, monkeypatch
):
    one = world("fin", False, "leave")
    monkeypatch.setattr(
        adb,
        "RetryingTransport",
        functools.partial(RetryingTransport, reconnect_seconds=RECONNECT_SECONDS),
    )
    opener, wrap = adb.open_transport, one.wrap("leave")
    monkeypatch.setattr(adb, "open_transport", lambda serial: wrap(opener(serial)))
    file = tmp_path / "r.json"
    options = ["--format", "onnx", "--quick", "--device", one.relay.serial, "-o", str(file)]
    assert cli.run(["bench", str(tiny_bundle.path), *options]) == 0
    err = capsys.readouterr().err
    assert "did not come back in 0.5 s" in err
    assert "the next measurement there restores it (kit clean)" in err
    assert is_whole(store.read(file), 1)
    one.restore()
    assert cli.run(["clean", "--device", one.relay.serial]) == 0
    assert left(one.device) == []


def test_stop_ends_a_push(shared_device, tmp_path):
    file = tmp_path / "large"
    file.write_bytes(bytes(40_000_000))
    stop, passed = threading.Event(), []

    def sent(count):
        passed.append(count)
        if sum(passed) > 1_000_000:
            stop.set()

    with closing(
        RetryingTransport(selection.open_transport(shared_device.serial), stop=stop)
    ) as again:
        with pytest.raises(KeyboardInterrupt):
            again.push(file, "/data/local/tmp/large", sent=sent)
        assert sum(passed) < 2_000_000
        again.last().shell("rm -f /data/local/tmp/large")
    assert left(shared_device) == []


def test_a_run_that_was_resumed_was_started_once(world):
    one = world("rst", True, "start")
    with opened(one.relay.serial, wrap=one.wrap("start")) as device, device.folder() as folder:
        job = device.start(["sh", "-c", f"echo run >>{folder.path('count')}; sleep 0.3"], {})
        code = None
        while code is None:
            _, code = job.poll()
            job.wait()
        assert code == 0
        assert folder.read("count", 1000) == b"run\n"
    assert one.losing.done
    assert left(one.device) == []


@pytest.mark.slow
def test_the_command_line_when_the_device_stays_away(
    world, tiny_bundle, tmp_path, capsys, monkeypatch
):
    assert retry.RECONNECT_SECONDS == 10.0
    hurried = functools.partial(RetryingTransport, reconnect_seconds=RECONNECT_SECONDS)
    monkeypatch.setattr(adb, "RetryingTransport", hurried)
    one = world("rst", False, "run")
    options = ["--format", "onnx", "--official", "-o", str(tmp_path / "result.json")]

    def cut():
        until(lambda: halt(one.device), 60)
        one._cut(0, "either")

    thread = threading.Thread(target=cut)
    thread.start()
    assert cli.run(["bench", str(tiny_bundle.path), "--device", one.relay.serial, *options]) == 9
    thread.join()
    out, err = capsys.readouterr()
    assert "it did not come back in 0.5 s" in err
    assert "hint: check the " in err
    assert "Traceback" not in err
    assert (out, list(tmp_path.iterdir())) == ("", [])
    assert outlives(one.device)
    assert cli.run(["clean", "--device", one.device.serial]) == 0
    assert left(one.device) == []
    assert list(one.device.storage.iterdir()) == []


class Away:
    """A device that is lost a number of times."""

    serial = "away"

    def __init__(self, times):
        self.times, self.asked = times, 0

    def shell(self, command, timeout=20.0):
        self.asked += 1
        if self.times:
            self.times -= 1
            raise DeviceLost("lost", "hint")
        return "done"


def test_what_was_lost_is_asked_again_until_it_is_given_up(monkeypatch):
    monkeypatch.setattr("kit.devices.retry.PAUSE_SECONDS", 0.01)
    assert RetryingTransport(Away(3), 5.0).shell("x") == "done"
    gone = Away(10**6)
    again = RetryingTransport(gone, 0.1)
    with pytest.raises(DeviceLost, match=r"^lost; it did not come back in 0\.1 s"):
        again.shell("x")
    asked = gone.asked
    assert asked > 2
    with pytest.raises(DeviceLost):
        again.shell("x")
    assert gone.asked == asked  # one wait is enough
    gone.times = 0
    again.renew()
    assert again.shell("x") == "done"


def test_stop_ends_a_wait(monkeypatch):
    stop = threading.Event()
    again = RetryingTransport(Away(10**6), 600.0, stop)
    threading.Timer(0.2, stop.set).start()
    with pytest.raises(KeyboardInterrupt):
        again.shell("x")
    with pytest.raises(KeyboardInterrupt):
        again.shell("x")
    assert again.last() is again.inner
