"""Connections that break and devices that do not know this machine, for real."""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from contextlib import closing

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from transport_samples import FOLDER, SILENCE, WAYS
from virtual_device.relay import Relay

from kit.devices import adb_keys, direct_transport, selection
from kit.errors import DeviceError, DeviceLost

pytestmark = pytest.mark.usefixtures("no_settings")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("how", ["fin", "rst", SILENCE])
@pytest.mark.parametrize("during", ["push", "shell", "pull"])
def test_lost_connection_is_noticed_and_comes_back(
    x86_64_device, reach, tmp_path, way, how, during
):
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(os.urandom(8_000_000))
    with Relay(x86_64_device.port) as relay, closing(reach(way, relay.serial)) as one:
        one.push(source, f"{FOLDER}/kit-test/whole")
        before = time.monotonic()
        with pytest.raises(DeviceLost):
            if during == "shell":
                threading.Timer(0.5, relay.cut, [how]).start()
                one.shell("echo begun; sleep 100", timeout=100)
            elif during == "push":
                relay.cut(how, after=3_000_000, direction="to_device")
                one.push(source, f"{FOLDER}/kit-test/part")
            else:
                relay.cut(how, after=3_000_000, direction="from_device")
                one.pull(f"{FOLDER}/kit-test/whole", back, 1 << 30)
        assert relay.happened.wait(10)  # the relay notes it a moment after the cut
        assert time.monotonic() - before < 30, "the whole timeout passed"
        assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["source"]
        one.pull(f"{FOLDER}/kit-test/whole", back, 1 << 30)  # the same transport, connected anew
        assert back.read_bytes() == source.read_bytes()
        one.shell(f"rm -rf {FOLDER}/kit-test")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("how", ["fin", SILENCE])
def test_device_that_stays_away_is_reported_each_time(x86_64_device, reach, way, how):
    with Relay(x86_64_device.port) as relay, closing(reach(way, relay.serial)) as one:
        relay.cut(how, back=False)
        relay.happened.wait(10)
        before = time.monotonic()
        for _ in range(2):
            with pytest.raises(DeviceLost):
                one.shell("true", timeout=100)
        assert time.monotonic() - before < 60, "the whole timeout passed"
        relay.restore()
        assert one.shell("echo back").stdout == "back\n"


@pytest.mark.parametrize("away", ["fin", "rst"])
def test_a_server_gets_a_moment_to_have_a_device_back(x86_64_device, reach, away):
    with Relay(x86_64_device.port) as relay, closing(reach("server", relay.serial)) as one:
        for _ in range(2):  # lost before anyone noticed, and while it is known to be lost
            relay.cut(away, back=False)
            assert relay.happened.wait(10)
            threading.Timer(1.0, relay.restore).start()
            assert one.shell("echo back").stdout == "back\n"
            one._stale = True


@pytest.mark.parametrize("way", WAYS)
def test_killed_daemon_is_noticed_and_comes_back(clean_device, reach, way):
    device = clean_device
    with closing(reach(way, device.serial)) as one:
        threading.Timer(0.5, device.kill_daemon).start()
        with pytest.raises(DeviceLost):
            one.shell("sleep 100", timeout=100)
        device.restart()
        assert one.shell("echo back").stdout == "back\n"


def test_unknown_key_is_reported_and_may_be_accepted(x86_64_device):
    with Relay(x86_64_device.port, keys=[]) as relay:
        quick = direct_transport.DirectTransport(
            relay.serial, lambda: direct_transport.Tcp("127.0.0.1", relay.port), auth_seconds=1
        )
        with closing(quick), pytest.raises(DeviceError, match="is unauthorized") as caught:
            quick.shell("true")
        assert "accept 'Allow USB debugging?'" in caught.value.hint
        assert relay.offered
        relay.allow(adb_keys.get_folder() / "adbkey.pub")
        assert quick.shell("echo in").stdout == "in\n"


def test_server_tells_an_unknown_key(x86_64_device, adb_server, monkeypatch, capsys):
    from kit import cli

    with Relay(x86_64_device.port, keys=[]) as relay:
        adb_server("connect", relay.serial)
        with pytest.raises(DeviceError, match="is unauthorized") as caught:
            selection.open_transport(None)
        assert not isinstance(caught.value, DeviceLost)
        assert cli.run(["devices", "--json"]) == 0
        (result,) = json.loads(capsys.readouterr().out)["devices"]
        assert result["state"] == "unauthorized"
        assert "accept 'Allow USB debugging?'" in result["fix"]
        assert cli.run(["devices", "--device", relay.serial]) == 9
        assert "accept 'Allow USB debugging?'" in capsys.readouterr().out


@pytest.fixture
def own_keys(monkeypatch, tmp_path):
    monkeypatch.setenv("ANDROID_USER_HOME", str(tmp_path / "keys"))


def test_key_is_made_once_and_only_for_its_owner(x86_64_device, own_keys, tmp_path):
    selection.open_transport(x86_64_device.serial).close()
    key, public = tmp_path / "keys/adbkey", tmp_path / "keys/adbkey.pub"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_bytes(), public.read_bytes()
    assert adb_keys.load_signer().public_key.split()[0] == before[1].split()[0]
    public.unlink()  # as after a careless copy: the other half is enough
    with Relay(x86_64_device.port, keys=[]) as relay:
        relay_key = tmp_path / "again.pub"
        relay_key.write_bytes(before[1])
        relay.allow(relay_key)
        with closing(selection.open_transport(relay.serial)) as one:
            assert one.shell("echo in").stdout == "in\n"
    assert key.read_bytes() == before[0]
    assert sorted(p.name for p in key.parent.iterdir()) == ["adbkey"]


def pem(key) -> bytes:
    forms = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(*forms, serialization.NoEncryption())


BROKEN = {
    "empty": lambda: b"",
    "no key": lambda: b"\xff\0 not a key",
    "cut off": lambda: b"-----BEGIN PRIVATE KEY-----\n",
    "of a curve": lambda: pem(ec.generate_private_key(ec.SECP256R1())),
    "longer": lambda: pem(rsa.generate_private_key(65537, 3072)),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_key_is_reported_and_kept(x86_64_device, own_keys, tmp_path, kind):
    key, content = tmp_path / "keys/adbkey", BROKEN[kind]()
    key.parent.mkdir()
    key.write_bytes(content)
    with pytest.raises(DeviceError, match="is not an RSA key"):
        selection.open_transport(x86_64_device.serial)
    assert key.read_bytes() == content
