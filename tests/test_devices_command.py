"""`kit devices` and its facts, on virtual devices."""

from __future__ import annotations

import json
from contextlib import closing

import pytest
from transport_samples import WAYS
from virtual_device.relay import Relay

from kit.devices import facts, selection

pytestmark = pytest.mark.usefixtures("no_settings")


def test_facts_describe_the_device(transport, x86_64_device):
    result = facts.gather(transport)
    assert result.kind == "virtual"
    assert result.serial == x86_64_device.serial
    assert result.abis == ("x86_64",)
    assert result.page_size == 4096
    assert result.memory
    assert result.free_bytes
    assert result.battery is not None
    assert sum(len(cluster.cpus) for cluster in result.clusters) == result.cores


def test_facts_depend_on_the_device(clean_device):
    device = clean_device
    device.state.set(temperature=41.5, battery=17, battery_status=3, thermal_status=2)
    device.state.set(page_size=16384, online="0")
    with closing(selection.open_transport(device.serial)) as one:
        result = facts.gather(one)
        assert result.battery is not None
        assert (result.battery.level, result.battery.temperature_c) == (17, 41.5)
        assert result.battery.status == "discharging"
        assert result.thermal_status == "moderate"
        assert result.page_size == 16384
        assert result.online == (0,)
        device.state.dumpsys("battery", None)
        device.state.dumpsys("thermalservice", None)
        result = facts.gather(one)
        assert (result.battery, result.thermal_status) == (None, None)


@pytest.mark.slow
def test_facts_of_an_arm_device(arm64_device):
    with closing(selection.open_transport(arm64_device.serial)) as one:
        assert facts.gather(one).abis[0] == "arm64-v8a"


@pytest.mark.parametrize("way", WAYS)
def test_command_shows_a_device(x86_64_device, request, capsys, way):
    from kit import cli

    arguments = ["devices", "--device", x86_64_device.serial]
    if way == "server":
        request.getfixturevalue("adb_server").connect(x86_64_device.serial)
        arguments = ["devices"]
    assert cli.run(arguments) == 0
    text = capsys.readouterr().out
    for words in (x86_64_device.serial, "device, virtual", "API level", "x86_64", "°C", "4 KB"):
        assert words in text
    assert cli.run([*arguments, "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["devices"]
    assert (result["serial"], result["kind"]) == (x86_64_device.serial, "virtual")


def test_command_without_a_device(capsys):
    from kit import cli

    assert cli.run(["devices"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "no device is connected" in captured.err
    assert cli.run(["devices", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"devices": []}


@pytest.mark.slow
def test_one_silent_device_does_not_hide_the_others(x86_64_device, adb_server, capsys):
    from kit import cli

    with Relay(x86_64_device.port) as relay:
        adb_server.connect(x86_64_device.serial)
        adb_server.connect(relay.serial)
        relay.cut("silence", back=False)
        assert cli.run(["devices", "--json"]) == 0
    rows = {d["serial"]: d for d in json.loads(capsys.readouterr().out)["devices"]}
    assert rows[x86_64_device.serial]["state"] == "device"
    assert rows[relay.serial]["state"] == "lost"
