"""Versions that a program reports do not replace those known here."""

from __future__ import annotations

import json
import platform

import native_samples
import pytest
from conftest import FAST

import kit
from kit.bench import measure
from kit.bench.runner import Runner
from kit.devices import local
from kit.errors import RunError
from kit.runners import protocol


class Lying:
    """A job whose program reports other versions, with a correct checksum."""

    def __init__(self, job, versions):
        self._job, self._versions = job, versions

    def __getattr__(self, name):
        return getattr(self._job, name)

    def poll(self):
        lines, code = self._job.poll()
        return [self._changed(line) for line in lines], code

    def _changed(self, line):
        event = json.loads(line)
        if event["event"] != "start":
            return line
        event["versions"] |= self._versions
        del event["crc"]
        return protocol.seal(json.dumps(event))


def lying(**versions: str) -> local.LocalDevice:
    device = local.LocalDevice()
    start = device.start
    device.start = lambda *args: Lying(start(*args), versions)
    return device


def versions_of(device, tiny_bundle, kind) -> dict[str, str]:
    (result,) = measure.measure_all([tiny_bundle], ["onnx"], FAST, None, device, kind)
    return result.runs[0].context.versions


@pytest.mark.slow
def test_reported_versions_do_not_replace_known_ones(tiny_bundle) -> None:
    device = lying(kit="9.9", python="2.7", onnxruntime="1.0")
    actual = versions_of(device, tiny_bundle, "python")
    assert actual["kit"] == kit.__version__
    assert actual["python"] == platform.python_version()
    assert actual["onnxruntime"] == "1.0"  # nobody else knows it


@pytest.mark.slow
@pytest.mark.parametrize("changed", [{"onnxruntime": "9.9"}, {"kit": "9.9"}])
def test_a_native_runner_must_report_the_versions_of_its_file(changed, tiny_bundle) -> None:
    runner = native_samples.runner("onnx")
    with pytest.raises(RunError, match=r"reports \w+ 9\.9, and the one that was started has"):
        versions_of(lying(**changed), tiny_bundle, "native")
    actual = versions_of(lying(extra="x"), tiny_bundle, "native")
    assert actual == {
        "kit": kit.__version__,
        "onnxruntime": runner.runtime_version,
        "python": platform.python_version(),
        "runner": actual["runner"],
    }


def test_a_missing_version_does_not_match() -> None:
    runner = Runner(("x",), "native", {"torch": "2.8.0"})
    with pytest.raises(RunError, match=r"reports torch of no version"):
        runner.check_versions({"runner": "native"})
