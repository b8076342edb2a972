"""Which device is meant, where the server is, and what is neither."""

from __future__ import annotations

from contextlib import closing

import pytest
from transport_samples import NAMES, peer
from virtual_device import ports

from kit.commands import devices
from kit.devices import selection, server_transport
from kit.errors import DeviceError, DeviceLost, UsageError

pytestmark = pytest.mark.usefixtures("no_settings")


def test_no_device_is_reported():
    for call in (selection.choose_serials, selection.open_transport):
        with pytest.raises(DeviceError, match="no device is connected") as caught:
            call(None)
        assert "HOST:PORT" in caught.value.hint
    with pytest.raises(DeviceError, match="no device is connected"):
        selection.choose_serials("all")


def test_two_devices_need_a_choice(x86_64_device, clean_device, adb_server, monkeypatch):
    first = adb_server.connect(x86_64_device.serial)
    assert selection.choose_serials(None) == [first]
    second = adb_server.connect(clean_device.serial)
    with pytest.raises(DeviceError, match="there are 2 devices") as caught:
        selection.open_transport(None)
    assert first in caught.value.message
    assert second in caught.value.message
    assert sorted(selection.choose_serials("all")) == sorted([first, second])
    assert selection.choose_serials(f"{second}, {first},{second}") == [second, first]
    monkeypatch.setenv("ANDROID_SERIAL", second)
    assert selection.open_transport(None).serial == second
    assert selection.choose_serials(first) == [first]


@pytest.mark.parametrize("serial", [*NAMES, "x" * 5000, "R58M123", "127.0.0.1:0", "[::1]", ":5555"])
def test_unknown_serial_is_reported_with_those_there_are(x86_64_device, adb_server, serial):
    known = adb_server.connect(x86_64_device.serial)
    with pytest.raises(DeviceError) as caught:
        selection.open_transport(serial)
    assert repr(serial) in caught.value.message
    assert known in caught.value.hint


def test_choice_of_nothing_is_reported():
    for choice in ("", ",", " , "):
        with pytest.raises(UsageError, match="names no device"):
            selection.choose_serials(choice)


@pytest.mark.parametrize("serial", ["127.0.0.1:{}", "localhost:{}"])
def test_address_needs_no_server(x86_64_device, serial):
    serial = serial.format(x86_64_device.port)
    with closing(selection.open_transport(serial)) as one:
        assert one.shell("echo x").stdout == "x\n"
        assert one.serial == serial


def test_closed_port_is_reported():
    with ports.closed() as port, pytest.raises(DeviceLost, match="Connection refused"):
        selection.open_transport(f"127.0.0.1:{port}")


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", marks=pytest.mark.slow),
        b"HTTP/1.1 400 Bad Request\r\n\r\n" * 4,
        bytes(64),
        b"\xff" * 64,
    ],
)
def test_what_is_no_daemon_is_reported(answer):
    with peer(answer) as port, pytest.raises(DeviceError) as caught:
        selection.open_transport(f"127.0.0.1:{port}")
    if answer:
        what = "an HTTP server or proxy" if b"HTTP" in answer else "another program"
        assert caught.value.message.startswith(f"{what} answers there, not adb: b")
        assert "cable" not in caught.value.hint


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", marks=pytest.mark.slow),
        b"HTTP/1.1 400 Bad Request\r\n",
        b"OKAYzzzz",
        pytest.param(b"OKAYffff", marks=pytest.mark.slow),
    ],
)
def test_what_is_no_server_is_reported(monkeypatch, answer):
    with peer(answer) as port:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
        with pytest.raises(DeviceError, match="adb server"):
            selection.list_devices()


def test_device_with_pairing_is_reported():
    # A fake: Debian's daemon has no TLS. Android's answers a greeting with STLS.
    word = int.from_bytes(b"STLS", "little")
    packet = b"".join(
        n.to_bytes(4, "little") for n in (word, 0x01000000, 0, 0, 0, word ^ 0xFFFFFFFF)
    )
    with peer(packet) as port, pytest.raises(DeviceError, match="pairing") as caught:
        selection.open_transport(f"127.0.0.1:{port}")
    assert "adb pair" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "value", "result"),
    [
        ("ANDROID_ADB_SERVER_PORT", "5038", ("127.0.0.1", 5038)),
        ("ANDROID_ADB_SERVER_PORT", "", ("127.0.0.1", 5037)),
        ("ADB_SERVER_SOCKET", "tcp:5039", ("127.0.0.1", 5039)),
        ("ADB_SERVER_SOCKET", "tcp:build-host:5039", ("build-host", 5039)),
        ("ADB_SERVER_SOCKET", "tcp:[::1]:5039", ("::1", 5039)),
    ],
)
def test_server_is_found_where_adb_finds_it(monkeypatch, name, value, result):
    monkeypatch.setenv(name, value)
    assert server_transport.choose_address() == result


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ANDROID_ADB_SERVER_PORT", "65536"),
        ("ANDROID_ADB_SERVER_PORT", "five"),
        ("ADB_SERVER_SOCKET", "localabstract:adb"),
        ("ADB_SERVER_SOCKET", "tcp:host:"),
    ],
)
def test_address_of_no_server_is_reported(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=name):
        selection.list_devices()


class Listing:
    """An adb server as `kit` asks it for its devices: no phone on USB can be had here."""

    def __init__(self, *states):
        self.states = list(states)

    def listed(self):
        return [("R58M123", self.states.pop(0) if len(self.states) > 1 else self.states[0])]


def test_a_phone_that_was_just_plugged_in_is_waited_for(monkeypatch):
    server = Listing("offline", "authorizing", "device")
    monkeypatch.setattr(server_transport, "find_server", lambda: server)
    monkeypatch.setattr(selection, "LOOK_PAUSE", 0.01)
    assert selection.open_transport("R58M123").serial == "R58M123"
    monkeypatch.setattr(selection, "PASSING_SECONDS", 0.1)
    for state in ("offline", "unauthorized"):  # the second waits for its user, who may be away
        server.states = [state]
        with pytest.raises(DeviceError, match=f"'R58M123' is {state}"):
            selection.open_transport("R58M123")


def test_a_megabyte_is_a_million_bytes_as_in_other_tables():
    assert devices.format_megabytes(2_147_483_648) == "2,147 MB"
    assert devices.format_megabytes(None) is None
