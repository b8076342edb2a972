"""Facts about the host, parsed from captured text."""

from __future__ import annotations

import platform

import psutil
import pytest

from kit.devices import hostinfo, local
from kit.errors import UsageError

X86 = """processor\t: 0
vendor_id\t: AuthenticAMD
model\t\t: 17
model name\t: AMD EPYC   9R14
cpu MHz\t\t: 2596.096
flags\t\t: fpu vme hypervisor avx2

processor\t: 1
model name\t: AMD EPYC   9R14
"""
ARM = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd crc32
CPU implementer\t: 0x41

Hardware\t: BCM2711
Model\t\t: Raspberry Pi 4 Model B Rev 1.4
"""
STATUS = "Name:\tpython\nVmPeak:\t 900 kB\nVmHWM:\t   65432 kB\nVmRSS:\t   60000 kB\nThreads:\t3\n"


def test_the_name_of_the_processor() -> None:
    assert hostinfo.parse_cpu_model(X86) == "AMD EPYC 9R14"
    assert hostinfo.parse_cpu_model(ARM) == "Raspberry Pi 4 Model B Rev 1.4"
    assert hostinfo.parse_cpu_model("processor : 0\nmodel name :\n") is None
    assert hostinfo.parse_cpu_model("") is None


@pytest.mark.parametrize(
    ("cpuinfo", "product", "virtual"),
    [
        (X86, "", True),
        (X86.replace("hypervisor", "hypervisors"), "ThinkPad T14", False),
        (ARM, "", False),
        (ARM, "KVM Virtual Machine", True),
        (ARM, "VMware20,1", True),
    ],
)
def test_a_virtual_machine_is_detected(cpuinfo: str, product: str, virtual: bool) -> None:
    assert hostinfo.is_virtual(cpuinfo, product) is virtual


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("150000 100000", 1.5),
        ("200000 100000\n", 2),
        ("max 100000", None),
        ("", None),
        ("1 0", None),
    ],
)
def test_the_quota_of_a_container(text: str, cores: float | None) -> None:
    assert hostinfo.parse_quota(text) == cores


def test_sizes_in_the_status_of_a_process() -> None:
    assert hostinfo.parse_status_bytes(STATUS, "VmHWM") == 65432 * 1024
    assert hostinfo.parse_status_bytes(STATUS, "VmSwap") is None
    assert hostinfo.parse_status_bytes("", "VmHWM") is None


def test_a_file_the_kernel_does_not_have_is_empty(tmp_path) -> None:
    assert hostinfo.read_text(tmp_path / "nothing") == ""


def test_this_machine() -> None:
    device = local.open(None)
    result = device.context({"A": "1"})
    assert result.machine.startswith(platform.machine())
    assert result.memory_total == psutil.virtual_memory().total
    assert 1 <= result.cores <= (psutil.cpu_count() or 1)
    assert result.environment == {"A": "1"}
    assert set(result.versions) == {"python", "kit"}
    assert result.others is None  # nothing to compare with yet
    assert device.context({}, 7.5).load_before == 7.5
    assert device.ref.kind == "local"
    assert device.ref.name == result.cpu


def test_the_local_machine_has_no_serial() -> None:
    with pytest.raises(UsageError, match="emulator-5554"):
        local.open("emulator-5554")


def test_work_of_others_is_reported_from_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([(0.0, 100.0, 5.0), (10.0, 118.0, 14.0), (10.5, 119.0, 14.0), (20.5, 119.0, 15.0)])
    now: list[tuple[float, float, float]] = []

    def tick() -> float:
        now.append(next(clock))
        return now[-1][0]

    monkeypatch.setattr(local.time, "monotonic", tick)
    monkeypatch.setattr(local, "read_busy_seconds", lambda: now[-1][1])
    monkeypatch.setattr(local, "read_own_seconds", lambda: now[-1][2])
    device = local.LocalDevice()
    assert device._others() is None
    assert device._others() == pytest.approx(0.9)  # 18 s busy, 9 of them ours, in 10 s
    assert device._others() is None  # too short to tell
    assert device._others() == 0.0  # never below nothing
