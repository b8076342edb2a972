"""Programs on a real adb daemon that never stop printing: ended, and the device put in order."""

from __future__ import annotations

import resource

import pytest
from device_samples import left, opened
from test_runner_protocol import LINES, REQUEST

from kit.errors import DeviceError, RunError
from kit.runners import drive

pytestmark = pytest.mark.usefixtures("direct")
MIB = 1 << 20
X = "x" * 1000

FLOODS = {
    f"while :; do echo {X}{X}{X}{X}; done": "more than 16 MiB of lines that are no events",
    f"while :; do printf {X}{X}{X}{X}; done": "a line of more than 4 MiB",
    f"echo '{LINES[0]}'; while :; do echo noise; sleep 0.1; done": (
        r"reported nothing for 3 s after 'start'"
    ),
    "while :; do echo noise >&2; done": r"reported nothing for 3 s before its first event",
}


@pytest.mark.parametrize("script", FLOODS)
def test_a_program_that_does_not_stop_is_ended(x86_64_device, script) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with opened(x86_64_device.serial) as device:
        with device.folder(), pytest.raises(RunError, match=FLOODS[script]):
            drive.run(
                device,
                REQUEST,
                {},
                ("sh", "-c", script),
                silence=60.0 if "more than" in FLOODS[script] else 3.0,
            )
        assert left(x86_64_device) == []
        assert device.ask("echo fine").strip() == "fine"
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB
    assert (after - before) * 1024 < 300 * MIB


def test_lines_that_take_several_looks_all_come(x86_64_device) -> None:
    lines = "; ".join(f"echo '{line}'" for line in LINES)
    script = f"i=0; while [ $i -lt 2500 ]; do echo {X}{X}{X}{X}; i=$((i+1)); done; {lines}"
    with opened(x86_64_device.serial) as device, device.folder():
        result = drive.run(device, REQUEST, {}, ("sh", "-c", script), silence=60.0)
    assert list(result.samples) == [4, 5, 6]


def test_a_file_of_the_device_that_is_too_large(x86_64_device) -> None:
    with opened(x86_64_device.serial) as device, device.folder() as folder:
        device.ask(f"head -c 3000000 /dev/zero >{folder.path('answer')}")
        with pytest.raises(DeviceError, match="has 3000000 bytes, and at most 1000 are expected"):
            folder.read("answer", 1000)
        assert len(folder.read("answer", 3_000_000)) == 3_000_000


def test_a_command_of_the_device_that_answers_too_much(x86_64_device) -> None:
    with opened(x86_64_device.serial) as device:
        with pytest.raises(DeviceError, match="answers a command with more than the 8 MiB"):
            device.ask("head -c 100000000 /dev/zero")
        assert device.ask("echo fine").strip() == "fine"
