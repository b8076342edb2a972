"""What kit changes on a device is put back, however a measurement ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext

import pytest
from device_samples import STAY, connected, kit, left, opened, runners, until
from native_samples import runner
from virtual_device.relay import Relay
from virtual_device.state import replace

from kit import cli
from kit.devices import adb, device_job, device_settings
from kit.devices.storage import ask
from kit.errors import DeviceError, DeviceLost, RunError

pytestmark = pytest.mark.usefixtures("direct")


@pytest.fixture
def device(clean_device):
    return clean_device


def set_stay(device, value: str | None) -> dict[str, str]:
    if value is None:
        return {}
    replace(device.state.values / f"settings/global/{STAY}", value)
    return {STAY: value}


def is_changed(device) -> bool:
    return (
        device.state.settings()["global"].get(STAY) == "7"
        and device.state.fixed_performance == "true"
    )


@pytest.mark.parametrize(
    ("before", "error"),
    [
        *((before, None) for before in (None, "0", "3", "7", "15")),
        *(("3", error) for error in (RunError("r", "h"), KeyboardInterrupt(), ValueError())),
    ],
)
def test_settings_are_back_after_a_measurement(device, before, error):
    result = set_stay(device, before)
    with opened(device.serial) as one:
        raised = nullcontext() if error is None else pytest.raises(type(error))
        with raised, one.folder():
            stays = before in ("7", "15")  # on every charger, the second in a dock as well
            assert device.state.settings()["global"][STAY] == (before if stays else "7")
            assert device.state.fixed_performance == "true"
            settings = one.context({}).settings
            assert settings["fixed performance"] == "on"
            assert ("stay awake" in settings) != stays
            if error is not None:
                raise error
    assert left(device, result) == []


def test_a_mode_that_the_device_lacks_is_not_claimed(device):
    device.state.set(fixed_performance="unsupported")
    with opened(device.serial) as one:
        with one.folder():
            assert one.context({}).settings == {"stay awake": "while plugged in"}
        assert left(device) == []


def test_a_device_without_settings_is_measured_all_the_same(device):
    for program in ("settings", "cmd"):
        (device.folder / "system/bin" / program).unlink()
    with opened(device.serial) as one:
        with one.folder():
            assert one.context({}).settings == {}
        assert left(device) == []


class Broken:
    """A program of a device that fails until it is mended."""

    def __init__(self, device, name):
        self._program = device.folder / "system/bin" / name
        self._whole = self._program.read_text()
        part = self._program.with_name(f".{name}")
        part.write_text("#!/system/bin/sh\n[ $1 = get ] && echo null\nexit 255\n")
        part.chmod(0o755)
        part.rename(self._program)

    def mend(self):
        self._program.write_text(self._whole)


@pytest.mark.parametrize("name", ["settings", "cmd"])
def test_what_cannot_be_put_back_is_reported_and_stays_written_down(device, capsys, name):
    before = set_stay(device, "3")
    wrong = {"settings": f"settings put global {STAY} 3", "cmd": "cmd power set-fixed-perf"}[name]
    with opened(device.serial) as one:
        with one.folder():
            broken = Broken(device, name)
        (notice,) = one.notices
        assert notice.code == "device.left"
        assert "did not take settings back" in notice.values["reason"]
        assert wrong in notice.values["reason"]
        journal = device.read("kit/settings").decode().splitlines()
        assert len(journal) == 1, "the other one is back"
        with one.folder():  # the next one is not refused for it, and hears it again
            assert wrong in one.notices[1].values["reason"]
        assert journal[0] in device.read("kit/settings").decode().splitlines()
    assert cli.run(["clean", "--device", device.serial]) == 9
    err = capsys.readouterr().err
    assert wrong in err
    assert f"kit clean --device {device.serial}" in err
    assert list(device.files()) == ["kit/settings"]
    broken.mend()
    assert cli.run(["clean", "--device", device.serial]) == 0
    assert list(device.storage.iterdir()) == []
    assert left(device, before) == []


def test_a_mode_that_the_device_lacks_leaves_no_journal_after_a_kill(device):
    device.state.set(fixed_performance="unsupported")
    with connected(device.serial) as transport:
        script = device_settings.make_change_script(device_settings.fix_performance()).partition(
            "; if {"
        )[0]
        ask(transport, f"mkdir -p /data/local/tmp/kit; {script}")  # killed before the change
        assert "set-fixed-performance" in device.read("kit/settings").decode()
        assert adb.clean(transport) >= 0
    assert left(device) == []
    assert list(device.storage.iterdir()) == []


def test_nothing_is_changed_that_cannot_be_written_down(device):
    with connected(device.serial) as transport:
        ask(transport, f"mkdir -p /data/local/tmp/kit; echo true >{device_settings.JOURNAL}")
        device.free(0)
        with pytest.raises(DeviceError, match="No space left"):
            device_settings.apply(transport)
        assert device.state.settings()["global"] == {}
        assert device.state.fixed_performance == "false"
        assert list(device.files()) == ["kit/settings"]
        assert device.read(device_settings.JOURNAL) == b"true\n"  # of an earlier kit: as it was


@pytest.mark.parametrize("name", ["settings", "cmd"])
def test_a_change_that_goes_on_without_us_is_put_back(device, name):
    program = device.folder / "system/bin" / name
    late = '\ncase "$*" in *" 7" | *true) sleep 1 ;; esac\n'  # the change, and nothing else
    program.write_text(program.read_text().replace("\n", late, 1))

    def cut():
        until((device.storage / "kit/settings").exists)
        if name == "cmd":
            until(lambda: b"cmd power" in device.read("kit/settings"))
        relay.cut("rst", back=False)  # in the middle of the change, which runs on

    with Relay(device.port) as relay, opened(relay.serial, reconnect_seconds=0.0) as one:
        thread = threading.Thread(target=cut)
        thread.start()
        with pytest.raises(DeviceLost), one.folder():
            pytest.fail("it was lost")
        thread.join()
    with connected(device.serial) as transport:
        adb.clean(transport)
        time.sleep(1.2)
    assert left(device) == []
    assert list(device.storage.iterdir()) == []


def test_a_lost_device_is_put_back_on_the_next_contact(device):
    before = set_stay(device, "3")
    with Relay(device.port) as relay, opened(relay.serial, reconnect_seconds=0.5) as one:
        with pytest.raises(DeviceLost, match=r"did not come back in 0\.5 s"), one.folder():
            one.start(["sleep", "600"], {})
            relay.cut("rst", back=False)
            one.condition()
        assert is_changed(device)
        assert runners(device) != []
        relay.restore()
        with one.folder():
            assert is_changed(device)
            assert runners(device) == []
    assert left(device, before) == []


def hold(serial: str) -> subprocess.Popen[str]:
    """Start a kit that has taken a device and runs something there."""
    script = (
        "import time\nfrom kit.devices import adb\n"
        f"device = adb.open({serial!r})\n"
        "with device.folder():\n    device.start(['sleep', '600'], {})\n"
        "    print('ready', flush=True)\n    time.sleep(600)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "ready\n"
    return holder


@pytest.mark.parametrize("contact", [pytest.param("measure", marks=pytest.mark.slow), "clean"])
def test_a_killed_kit_is_put_back_on_the_next_contact(device, contact):
    before = set_stay(device, "0")
    with hold(device.serial) as holder:
        holder.kill()
    assert is_changed(device)
    assert runners(device) != []
    if contact == "clean":
        with connected(device.serial) as transport:
            adb.clean(transport)
        assert list(device.storage.iterdir()) == []
    else:
        with opened(device.serial) as one, one.folder():
            assert runners(device) == []
    assert left(device, before) == []


@pytest.mark.slow
def test_two_killed_kits_put_back_what_the_first_found(device):
    before = set_stay(device, "3")
    for _ in range(2):
        with hold(device.serial) as holder:
            holder.kill()
    with connected(device.serial) as transport:
        adb.clean(transport)
    assert left(device, before) == []


@pytest.mark.parametrize("after", ["journal", "change"])
def test_a_kit_that_ends_in_the_middle_of_a_change(device, after):
    before = set_stay(device, "1")
    with connected(device.serial) as transport:
        change = device_settings.keep_awake(transport)
        assert change is not None
        script = f"mkdir -p /data/local/tmp/kit; echo '{change.restore}' >{device_settings.JOURNAL}"
        transport.shell(script if after == "journal" else f"{script}; {change.apply}")
    with opened(device.serial) as one, one.folder():
        pass
    assert left(device, before) == []


def test_a_number_of_before_a_restart_is_not_killed(device):
    boot = "$(cat /proc/sys/kernel/random/boot_id)"
    folder = "/data/local/tmp/kit/runs/old/job-0"
    with connected(device.serial) as transport:
        before = ask(transport, "cat /proc/sys/kernel/random/boot_id").strip()
        device.reboot()
        assert ask(transport, "cat /proc/sys/kernel/random/boot_id") != before

        def survives(second: str) -> bool:
            number = ask(
                transport,
                f"mkdir -p {folder}; : >{folder}/out; "
                f"setsid sh -c 'echo $$ >{folder}/pid; exec sleep 600' "
                "</dev/null >/dev/null 2>&1 & "
                f"while [ ! -s {folder}/pid ]; do sleep 0.05; done; p=$(cat {folder}/pid); "
                f"{{ echo $p; {second}; }} >{folder}/pid; echo $p",
            ).strip()
            adb.recover(transport)
            return "yes" in ask(
                transport, f"sleep 0.2; kill -0 {number} 2>/dev/null && echo yes; true"
            )

        assert survives(f"echo {before}")
        assert not survives(f"echo {boot}")
        assert not survives("true")  # where the device does not tell
    assert left(device) == []


def test_a_job_that_kit_does_not_know_is_ended(device, monkeypatch):
    def interrupted(*arguments):
        start(*arguments)
        raise KeyboardInterrupt

    start = device_job.start_job
    monkeypatch.setattr(device_job, "start_job", interrupted)
    with opened(device.serial) as one, pytest.raises(KeyboardInterrupt), one.folder():
        one.start(["sleep", "600"], {})
    assert left(device) == []


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2])
def test_ctrl_c_leaves_devices_as_they_were(device, new_device, tiny_bundle, tmp_path, count):
    runner("onnx")
    devices = [device, *(new_device("x86_64", size_mb=192) for _ in range(count - 1))]
    before = [set_stay(one, "3") for one in devices]
    serials = ",".join(one.serial for one in devices)
    arguments = ("--format", "onnx", "--official", "--device", serials, "-o", tmp_path / "out")
    with kit("bench", tiny_bundle.path, *arguments) as child:
        until(lambda: all(is_changed(one) and runners(one) for one in devices), 60)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=30)
    assert child.returncode == 130, err
    assert "interrupted" in err
    assert "Traceback" not in err
    for device, result in zip(devices, before, strict=True):
        assert left(device, result) == []
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


@pytest.mark.slow
def test_ctrl_c_while_files_travel_leaves_no_part(device, tiny_bundle):
    runner("onnx")
    with kit("bench", tiny_bundle.path, "--format", "onnx", "--device", device.serial) as child:
        until(lambda: any(name.endswith(".part") for name in device.files()), 60)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=30)
    assert child.returncode == 130, err
    assert left(device) == []


@pytest.mark.slow
def test_kit_clean_after_kill_9_of_kit_bench(device, tiny_bundle):
    runner("onnx")
    arguments = ("--format", "onnx", "--official", "--device", device.serial)
    with kit("bench", tiny_bundle.path, *arguments) as child:
        until(lambda: is_changed(device) and bool(runners(device)), 60)
        os.kill(child.pid, signal.SIGKILL)
        child.communicate(timeout=30)
    time.sleep(0.2)
    assert runners(device), "it outlives kit"
    with kit("clean", "--device", device.serial) as child:
        out, err = child.communicate(timeout=30)
    assert (child.returncode, "MB removed" in out) == (0, True), err
    assert list(device.storage.iterdir()) == []
    assert left(device) == []
