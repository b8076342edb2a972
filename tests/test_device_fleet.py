"""Several devices at once, one of which meets a bug in kit: the others' results are kept."""

from __future__ import annotations

import json
import threading
import traceback

import pytest

from kit import cli
from kit.bench import fleet
from kit.commands.common import measurement
from kit.errors import DeviceError, RunError
from kit.results import store

DEVICES = "good,bad,gone,better"


def work(serial, stop):
    if serial == "bad":
        return {}["no such key"]
    if serial == "gone":
        raise DeviceError("it is gone", "look for it")
    return serial


def test_an_error_that_nobody_foresaw_is_one_outcome_of_many():
    outcomes = fleet.run_each(DEVICES.split(","), work)
    assert [o.serial for o in outcomes] == DEVICES.split(",")
    assert [o.result for o in outcomes] == ["good", None, None, "better"]
    bad, gone = outcomes[1].error, outcomes[2].error
    assert isinstance(gone, DeviceError)
    assert isinstance(bad, fleet.InternalError)
    assert str(bad) == "on bad: KeyError: 'no such key'"
    assert 'return {}["no such key"]' in "".join(traceback.format_exception(bad))


def test_ctrl_c_ends_all_and_is_no_outcome(monkeypatch):
    inside = threading.Event()

    def wait(serial, stop):
        inside.set()
        assert stop.wait(20)
        raise ValueError("given up")

    def interrupted(futures):
        inside.wait(20)
        raise KeyboardInterrupt

    monkeypatch.setattr(fleet, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fleet.run_each(["a", "b"], wait)


@pytest.mark.parametrize("debug", [False, True])
def test_the_command_stores_what_others_measured(
    direct, measured, tiny_bundle, tmp_path, capsys, monkeypatch, debug
):
    def connected(serial, *_):
        if serial == "gone":
            raise RunError("it is gone", "look for it")
        work(serial, None)
        return measured[0][:1]

    monkeypatch.setattr(measurement, "measure_serial", connected)
    if debug:
        monkeypatch.setenv("KIT_DEBUG", "1")
    options = ["--device", DEVICES, "--format", "onnx", "--json", "-o", str(tmp_path / "out")]
    arguments = ["bench", str(tiny_bundle.path), *options]
    assert cli.run(arguments) == 70
    out, err = capsys.readouterr()
    if debug:
        assert "Traceback (most recent call last):\n" in err
        assert "kit.bench.fleet.InternalError: on bad: KeyError" in err
    else:
        assert err.endswith(
            "kit: it is gone\nhint: look for it\n"
            "kit: InternalError: on bad: KeyError: 'no such key'\n"
            "hint: this is a bug in kit: run again with KIT_DEBUG=1 and report the traceback\n"
        )
    assert len(json.loads(out)["results"]) == 2
    names = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert names == ["better-tiny.json", "good-tiny.json"]
    for name in names:
        assert store.read(tmp_path / "out" / name).runs == measured[0][0].runs
