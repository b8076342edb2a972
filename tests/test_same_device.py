"""One phone that a server lists twice: by USB or mDNS, and by address."""

from __future__ import annotations

import json

import pytest
from virtual_device.relay import Relay

from kit import cli
from kit.commands.common import measurement
from kit.devices import facts, selection, server_transport
from kit.devices.transport import Completed
from kit.devices.ways import WayIdentity, find_first, is_same
from kit.errors import DeviceError

pytestmark = pytest.mark.usefixtures("no_settings")

ADDRESS, MDNS = "192.168.1.23:37001", "adb-R5CT10ABCDE-aB3dEf (2)._adb-tls-connect._tcp"
PHONE = {"number": "R5CT10ABCDE", "model": "SM-S911B", "boot": "b1"}


class Way:
    """A transport to a device with an identity."""

    def __init__(self, serial, number="", model="", boot=""):
        self.serial = serial
        self.props = f"[ro.serialno]: [{number}]\n[ro.product.model]: [{model}]"
        self.boot = boot

    def shell(self, command, timeout=20.0):
        output = {"props": self.props, "boot": self.boot}
        return Completed(0, "".join(f"\n{facts.MARK}{n}\n{t}\n" for n, t in output.items()), "")

    def close(self):
        pass


@pytest.fixture
def connect(monkeypatch):
    """Make a server list devices with their identities."""

    def listing(devices):
        class Listing:
            def listed(self):
                return [
                    (serial, output.get("state", "device")) for serial, output in devices.items()
                ]

        def transport(server, serial):
            if devices[serial] == {"state": "device", "broken": True}:
                raise DeviceError("it is broken", "mend it")
            return Way(serial, **devices[serial])

        monkeypatch.setattr(server_transport, "find_server", Listing)
        monkeypatch.setattr(server_transport, "ServerTransport", transport)

    return listing


@pytest.mark.parametrize("other", ["2a1b3c4d", MDNS])
def test_one_phone_is_one_device(connect, capsys, other):
    connect({ADDRESS: PHONE, other: PHONE})
    first = ADDRESS if other == MDNS else other  # USB is more reliable
    second = other if other == MDNS else ADDRESS
    note = f"note: {second} is the same device as {first}: it is used once\n"
    for choice in ("auto", "all"):
        assert measurement.choose_serials(choice) == [first]
        assert capsys.readouterr().err == note
    assert measurement.choose_serials(f"{second},{first}") == [second]  # the first that was named
    assert cli.run(["devices", "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["devices"]
    assert (result["serial"], result["also"]) == (first, [second])
    assert cli.run(["devices"]) == 0
    shown = capsys.readouterr().out
    assert "also as" in shown
    assert shown.count("SM-S911B") == 1


@pytest.mark.parametrize(
    "other",
    [
        PHONE | {"number": "R5CT10ABCDF"},
        PHONE | {"model": "SM-S911U"},
        PHONE | {"boot": "b2"},
        PHONE | {"number": ""},
        {"state": "device", "broken": True},
    ],
)
def test_different_phones_stay_separate(connect, capsys, other):
    connect({"one": PHONE, "two": other})
    assert selection.choose_serials("all") == ["one", "two"]
    with pytest.raises(DeviceError, match="there are 2 devices"):
        selection.choose_serials(None)
    assert capsys.readouterr().err == ""


def test_phones_without_a_serial_number_stay_separate(connect):
    nameless = PHONE | {"number": ""}
    connect({"one": nameless, "two": nameless})
    assert selection.choose_serials("all") == ["one", "two"]


def test_a_shared_serial_number_is_resolved_by_the_boot_id():
    def identity(number, boot):
        return WayIdentity(number, "sdk_gphone64", boot)

    for number in ("EMULATOR34X2X11X0", "0123456789ABCDEF", "unknown"):
        assert not is_same(identity(number, None), identity(number, None))
        assert is_same(identity(number, "b1"), identity(number, "b1"))
    assert is_same(identity("R5CT10ABCDE", None), identity("R5CT10ABCDE", "b1"))
    assert find_first({"a": identity("R1", "b"), "b": None, "c": identity("R1", "b")}) == {
        "a": "a",
        "b": "b",
        "c": "a",
    }


def test_a_virtual_device_at_two_addresses_is_one_device(x86_64_device, adb_server, capsys):
    with Relay(x86_64_device.port) as relay:
        first, second = (adb_server.connect(s) for s in (x86_64_device.serial, relay.serial))
        (only,) = selection.choose_serials("all")
        assert selection.choose_serials(None) == [only]
        assert cli.run(["devices", "--json"]) == 0
        adb_server("disconnect", relay.serial)
    (result,) = json.loads(capsys.readouterr().out)["devices"]
    assert {result["serial"], *result["also"]} == {first, second}
