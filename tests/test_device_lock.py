"""One kit at a time: who has a device, and when it is free again."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import ExitStack

import pytest
from device_samples import connected, left, opened, runners

from kit.devices import adb, locking
from kit.devices.locking import LOCK, STALE_SECONDS, Held
from kit.devices.storage import ask
from kit.errors import DeviceError

pytestmark = pytest.mark.usefixtures("direct")


@pytest.fixture
def device(clean_device):
    return clean_device


def plant(transport, owner: str | None, beat: str | None) -> None:
    """Leave a lock as another kit would; AGE in a beat is counted from now."""
    script = [f"mkdir -p {LOCK}", "read now rest </proc/uptime"]
    if owner is not None:
        script.append(f"echo {owner!r} >{LOCK}/owner")
    if beat is not None:
        script.append(f"echo {beat} >{LOCK}/beat")
    ask(transport, "; ".join(script))


OTHER = "0123456789abcdef some@where, process 1"


def test_the_second_kit_is_reported_who_has_the_device(device):
    with opened(device.serial) as one, opened(device.serial) as two:
        with one.folder() as folder:
            refused = pytest.raises(
                DeviceError, match=r"in use by another kit \(.+@.+, process \d+"
            )
            with refused, two.folder():
                pytest.fail("two at once")
            with connected(device.serial) as third, pytest.raises(DeviceError, match="in use"):
                adb.clean(third)
            folder.write("mine", b"still here")
            assert folder.read("mine", 1000) == b"still here"
        with two.folder():
            assert locking.holds(two._transport, device.read(f"{LOCK}/owner").decode()[:16])
    assert left(device) == []


@pytest.mark.parametrize(
    "beat", [pytest.param(None, marks=pytest.mark.slow), "$((${now%.*} - 200))", "garbage"]
)
def test_one_of_many_takes_it(device, beat):
    with ExitStack() as stack:
        transports = [stack.enter_context(connected(device.serial)) for _ in range(6)]
        if beat is not None:
            plant(transports[0], OTHER, beat)
        taken, refused, start = [], [], threading.Barrier(len(transports))

        def take(transport):
            start.wait()
            try:
                taken.append(locking.take(transport))
            except DeviceError as exc:
                refused.append(exc.message)

        threads = [threading.Thread(target=take, args=[t]) for t in transports]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(taken), len(refused)) == (1, len(transports) - 1)
        assert [message for message in refused if "in use by another kit" not in message] == []
        assert locking.holds(transports[0], taken[0])
        locking.forget(taken[0])


@pytest.mark.parametrize(
    ("period", "broken"), [("p - 2", True), ("p - 1", False), ("p", False), ("p + 1", False)]
)
def test_only_one_kit_breaks_a_stale_lock(device, period, broken):
    """Another one is about to; a claim of one that was stopped meanwhile holds nobody up."""
    with connected(device.serial) as transport:
        plant(transport, OTHER, "0")
        ask(
            transport,
            "read now _ </proc/uptime; "
            f"p=$((${{now%.*}} / {STALE_SECONDS:.0f})); mkdir {LOCK}/breaking-$(({period}))",
        )
        held = Held(OTHER, 9 * STALE_SECONDS, OTHER.split()[0])
        locking.break_lock(transport, held, f"{LOCK}.aside")
        assert ("no" in ask(transport, f"[ -e {LOCK} ] && echo yes || echo no")) == broken


def test_a_fresh_lock_is_not_taken_for_the_stale_one(device):
    """Another kit was faster: it broke the lock, and has the device now."""
    with connected(device.serial) as transport:
        token = locking.take(transport)
        locking.break_lock(transport, Held(OTHER, 99.0, OTHER.split()[0]), f"{LOCK}.aside")
        assert locking.holds(transport, token)
        assert "breaking" not in ask(transport, f"ls {LOCK}")
        locking.forget(token)


@pytest.mark.parametrize(
    ("owner", "beat"),
    [
        (OTHER, f"$((${{now%.*}} - {STALE_SECONDS:.0f} - 5))"),  # no sign of life
        (OTHER, "$((${now%.*} + 1000))"),  # the device was started anew
        (OTHER, "garbage"),
        (OTHER, None),
        (None, "$now"),  # ended between two writes
        (None, None),  # and before the first
    ],
)
def test_a_lock_whose_owner_is_gone_is_taken(device, owner, beat, monkeypatch):
    monkeypatch.setattr(locking, "RECHECK_SECONDS", 0.1)
    with connected(device.serial) as transport:
        plant(transport, owner, beat)
        token = locking.take(transport)
        assert device.read(f"{LOCK}/owner").decode().startswith(token)
        assert sorted(device.files()) == ["kit/lock/beat", "kit/lock/owner"]
        locking.give_back(transport, token)
        locking.forget(token)
        assert device.files() == {}


@pytest.mark.parametrize("owner", [OTHER, "0123456789abcdef {here}, process 1"])
def test_a_lock_whose_owner_lives_is_not_taken(device, owner):
    with connected(device.serial) as transport:
        plant(transport, owner.format(here=locking.describe_here()), "$now")
        with pytest.raises(DeviceError, match="in use by another kit"):
            locking.take(transport)


def test_a_lock_of_a_process_that_ended_here_is_taken_at_once(device):
    script = (
        "import os; from kit.devices import locking, selection; "
        f"locking.take(selection.open_transport({device.serial!r})); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    assert "kit/lock/owner" in device.files()
    with opened(device.serial) as one, one.folder():
        pass
    assert left(device) == []


def test_a_lock_that_was_lost_is_left_to_its_new_owner(device):
    with opened(device.serial) as one:
        with one.folder(), connected(device.serial) as other:
            plant(other, OTHER, "$now")
        assert device.read(f"{LOCK}/owner").decode().strip() == OTHER
        assert device.state.fixed_performance == "true"  # the new owner's affair


def test_every_look_is_a_sign_of_life(device):
    with opened(device.serial) as one, one.folder():
        device.write(f"{LOCK}/beat", b"0\n")
        job = one.start(["sleep", "5"], {})
        job.poll()
        assert float(device.read(f"{LOCK}/beat")) > 0
        device.write(f"{LOCK}/beat", b"0\n")
        one.settle(50.0, 0.0)
        assert float(device.read(f"{LOCK}/beat")) > 0


@pytest.fixture(params=["direct", "server"])
def device_either_way(request, device):
    """The device by kit's own connection, and behind the stock server."""
    if request.param == "server":
        request.getfixturevalue("adb_server").connect(device.serial)
    return device


@pytest.fixture
def large(tmp_path):
    file = tmp_path / "large"
    file.write_bytes(os.urandom(8_000_000))
    return file


def test_a_long_push_gives_signs_of_life(device_either_way, large, monkeypatch):
    device = device_either_way
    monkeypatch.setattr(locking, "BEAT_SECONDS", 0.02)
    beats = set()

    def sent(done, of):
        beats.add(device.read(f"{LOCK}/beat"))

    with opened(device.serial, sent=sent) as one, one.folder() as folder:
        device.write(f"{LOCK}/beat", b"0\n")
        place = folder.put(large)
        assert device.read(place) == large.read_bytes()
    assert len(beats) > 2
    assert left(device) == []


@pytest.mark.parametrize("step", ["push", "start", "poll", "settle"])
def test_a_kit_that_lost_its_lock_stops(device_either_way, large, monkeypatch, step):
    device = device_either_way
    monkeypatch.setattr(locking, "BEAT_SECONDS", 0.02)
    taken = pytest.raises(DeviceError, match=r"taken by another kit \(some@where, process 1\)")
    beats = []
    with connected(device.serial) as other, opened(device.serial) as one:

        def lose():
            adb.recover(other)  # as the other kit does
            plant(other, OTHER, "$now")
            beats.append(device.read(f"{LOCK}/beat"))

        with taken as caught, one.folder() as folder:
            if step == "push":
                one._store._sent = lambda done, of: lose() if done > 3_000_000 else None
                folder.put(large)
            elif step == "poll":
                job = one.start(["sleep", "600"], {})
                lose()
                job.poll()
            elif step == "start":
                lose()
                one.start(["sleep", "600"], {})
            else:
                lose()
                one.settle(50.0, 10.0)
        assert "90 s" in caught.value.hint
        assert device.read(f"{LOCK}/owner").decode().strip() == OTHER
        assert device.read(f"{LOCK}/beat") == beats[-1]  # no sign of life for another
        assert runners(device) == []
        with pytest.raises(DeviceError, match="in use by another kit"), one.folder():
            pytest.fail("beside another")


def test_a_lock_that_was_removed_by_hand_is_reported(device):
    gone = pytest.raises(DeviceError, match="taken away by hand during the measurement")
    with opened(device.serial) as one, gone, one.folder():
        with connected(device.serial) as other:
            ask(other, f"rm -rf {LOCK}")
        one.condition()


def test_a_full_device_takes_no_lock(device):
    with connected(device.serial) as transport:
        ask(transport, "mkdir -p /data/local/tmp/kit; echo >/data/local/tmp/some")
        device.free(0)  # a size of nothing at all would be no limit
        with pytest.raises(DeviceError, match="No space left"):
            locking.take(transport)
        assert not (device.storage / "kit/lock").exists()


def test_ages():
    assert not Held("", 0.0, "").stale
    assert not Held("", STALE_SECONDS, "").stale
    assert Held("", STALE_SECONDS + 1, "").stale
    assert Held("", -0.1, "").stale
