"""The relay breaks a connection in exactly the way and at the byte that a test asks for."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
import time

import pytest
from adb_shell.adb_device import AdbDeviceTcp
from virtual_device.relay import Relay

TMP = "/data/local/tmp"


@pytest.fixture
def echo():
    """A server that returns what it gets; yields its port and the connections it had."""
    listener = socket.create_server(("127.0.0.1", 0))
    served: list[socket.socket] = []

    def answer(one: socket.socket) -> None:
        with contextlib.suppress(OSError), one:
            while data := one.recv(1 << 16):
                one.sendall(data)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                served.append(listener.accept()[0])
                threading.Thread(target=answer, args=(served[-1],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@pytest.fixture
def relay(echo):
    with Relay(echo) as one:
        yield one


def client(relay: Relay) -> socket.socket:
    one = socket.create_connection(("127.0.0.1", relay.port), timeout=5)
    assert exchange(one, b"hello") == b"hello"
    return one


def exchange(one: socket.socket, data: bytes) -> bytes:
    one.sendall(data)
    return receive(one, len(data))


def receive(one: socket.socket, size: int) -> bytes:
    """Return what comes until it is enough, or until the other end closes."""
    result = b""
    while len(result) < size and (data := one.recv(1 << 16)):
        result += data
    return result


def test_everything_passes_unchanged_while_nothing_is_cut(relay) -> None:
    data = os.urandom(5_000_000)
    with client(relay) as one:
        threading.Thread(target=one.sendall, args=(data,), daemon=True).start()
        assert receive(one, len(data)) == data
    assert relay.passed == {"to_device": 5_000_005, "from_device": 5_000_005}


def test_a_side_that_ends_is_seen_by_the_other(relay) -> None:
    with client(relay) as one:
        one.sendall(b"last")
        one.shutdown(socket.SHUT_WR)
        assert receive(one, 99) == b"last"


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("after", [1, 70_000, 300_001])
def test_exactly_so_many_bytes_arrive_before_the_cut(relay, how: str, after: int) -> None:
    with client(relay) as one:
        relay.cut(how, after=after, direction="to_device")
        before = relay.passed["to_device"]
        with contextlib.suppress(OSError):
            for _ in range(20):
                one.sendall(bytes(20_000))
        assert relay.happened.wait(5)
        assert relay.passed["to_device"] - before == after


def test_fin_delivers_what_came_before_and_ends_in_order(relay) -> None:
    with client(relay) as one:
        relay.cut("fin", after=3, direction="from_device")
        one.sendall(b"abcdef")
        assert receive(one, 6) == b"abc"


def test_rst_is_an_error_at_the_client(relay) -> None:
    with client(relay) as one:
        relay.cut("rst")
        with pytest.raises(ConnectionResetError):
            one.recv(1)


def test_silence_says_nothing_and_loses_nothing(relay) -> None:
    with client(relay) as one:
        relay.cut("silence", after=2, direction="to_device")
        one.sendall(b"abcdef")
        assert relay.happened.wait(5)
        one.settimeout(0.3)
        with pytest.raises(TimeoutError):
            one.recv(1)
        one.settimeout(5)
        relay.restore()
        assert receive(one, 6) == b"abcdef"
        assert exchange(one, b"ghi") == b"ghi"


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_a_device_that_is_not_back_refuses(relay, how: str) -> None:
    with client(relay):
        relay.cut(how, back=False)
        with pytest.raises(ConnectionRefusedError):
            client(relay)
        relay.restore()
        client(relay).close()


def test_after_silence_without_return_a_client_connects_to_nobody(relay) -> None:
    with client(relay):
        relay.cut("silence", back=False)
        with socket.create_connection(("127.0.0.1", relay.port), timeout=0.3) as one:
            one.sendall(b"x")
            with pytest.raises(TimeoutError):
                one.recv(1)
        relay.restore()
        client(relay).close()


def test_a_client_is_reset_when_nobody_is_behind() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with Relay(port) as relay, socket.create_connection(("127.0.0.1", relay.port)) as one:
        one.settimeout(5)
        with pytest.raises(ConnectionResetError):
            one.recv(1)


def test_adb_works_through_it_and_a_push_is_cut_in_the_middle(x86_64_device, tmp_path) -> None:
    data = os.urandom(9_000_000)
    (tmp_path / "f").write_bytes(data)
    with Relay(x86_64_device.port) as relay:
        device = AdbDeviceTcp("127.0.0.1", relay.port, default_transport_timeout_s=5)
        device.connect(rsa_keys=[], auth_timeout_s=5)
        device.push(str(tmp_path / "f"), f"{TMP}/whole")
        there = device.shell(f"sha256sum {TMP}/whole").split()[0]
        assert there == hashlib.sha256(data).hexdigest()
        relay.cut("rst", after=5_000_000, direction="to_device")
        with pytest.raises(OSError, match=r"reset|pipe"):
            device.push(str(tmp_path / "f"), f"{TMP}/part")
        again = AdbDeviceTcp("127.0.0.1", relay.port, default_transport_timeout_s=5)
        again.connect(rsa_keys=[], auth_timeout_s=5)
        assert again.shell("echo back") == "back\n"
        part = x86_64_device.files().get("part", 0)
        again.shell(f"rm -f {TMP}/whole {TMP}/part")
        again.close()
        device.close()
    assert part < 5_000_000


def test_a_key_that_is_not_allowed_waits_until_it_is(x86_64_device, adb) -> None:
    with Relay(x86_64_device.port, keys=[]) as relay:
        adb("connect", relay.serial)
        assert state(adb, relay) == "unauthorized"
        assert relay.offered[0].split()[0] == adb.public_key.read_bytes().split()[0]
        relay.allow(adb.public_key)
        assert state(adb, relay, "device") == "device"
        adb("disconnect", relay.serial)
    with Relay(x86_64_device.port, keys=[adb.public_key]) as relay:
        adb("connect", relay.serial)
        assert state(adb, relay, "device") == "device"
        assert relay.offered == []
        assert adb("-s", relay.serial, "shell", "exit 7").returncode == 7
        adb("disconnect", relay.serial)


def state(adb, relay: Relay, wanted: str = "unauthorized") -> str:
    """Return what `adb devices` says of it, once it is what is wanted or 5 s have passed."""
    deadline = time.monotonic() + 5
    while True:
        rows = [row.split("\t") for row in adb("devices").stdout.splitlines()[1:] if row]
        result = dict(rows).get(relay.serial, "absent")
        if result == wanted or time.monotonic() > deadline:
            return result
        time.sleep(0.05)
