"""`kit predict --device` and `kit doctor --device` with Android's adb daemon and real runners."""

from __future__ import annotations

import json

import native_samples
import pytest
import virtual_device
from bundle_samples import picture
from device_samples import connected

from kit import cli
from kit.devices.device_settings import JOURNAL
from kit.devices.storage import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("direct")]


@pytest.fixture(scope="module")
def device():
    native_samples.runner("onnx")
    try:
        with virtual_device.running("x86_64", size_mb=1024) as one:
            yield one
    except virtual_device.CannotRun as exc:
        pytest.skip(str(exc))


def test_a_device_answers_as_the_float_model_does(device, tiny_bundle, tmp_path, capsys):
    for number in range(2):
        picture(number).save(tmp_path / f"{number}.png")
    words = [str(tiny_bundle.path), str(tmp_path), "--format", "onnx", "--device", device.serial]
    assert cli.run(["predict", *words, "--json", "--top", "7"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["device"] == device.serial
    assert [sample["name"] for sample in result["samples"]] == ["0.png", "1.png"]
    for sample in result["samples"]:
        reference, onnx = (
            {one["index"]: one["output"] for one in answer["labels"]}
            for answer in sample["answers"].values()
        )
        assert list(sample["answers"]) == ["reference", "onnx-fp32"]
        assert onnx == pytest.approx(reference, abs=1e-4)
    first, second = (sample["answers"]["onnx-fp32"] for sample in result["samples"])
    assert first != second


def test_a_device_is_examined_and_not_changed(device, lite_bundle, capsys):
    words = ["doctor", str(lite_bundle.path), "--device", device.serial, "--json"]
    device.state.set(battery=66, temperature=31.5)
    before = device.files()
    assert cli.run(words) == 0
    result = {f["code"]: f for f in json.loads(capsys.readouterr().out)["findings"]}
    assert result["device.reach"]["verdict"] == "ok"
    assert result["device.kind"]["verdict"] == "note"
    assert result["device.battery"]["text"].startswith("battery at 66 %")
    assert result["device.settings"]["verdict"] == "ok"
    assert "device.leftovers" not in result
    assert device.files() == before
    device.state.set(temperature=45.0)
    with connected(device.serial) as transport:
        left = f"mkdir -p {ROOT}; echo true > {JOURNAL}; settings put global low_power 1"
        assert transport.shell(left).code == 0
    assert cli.run(words) == 0
    result = {f["code"]: f for f in json.loads(capsys.readouterr().out)["findings"]}
    assert result["device.leftovers"]["verdict"] == "warning"
    assert result["device.settings"]["fix"].endswith("settings put global low_power 0")
    assert "45.0 °C" in result["device.warm"]["text"]
