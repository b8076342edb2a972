"""Facts about this machine: pure parsers, and functions that read."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

from kit.devices import parsing
from kit.devices.parsing import Cluster

_CPU = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_HYPERVISORS = ("kvm", "qemu", "virtual", "vmware", "bochs", "hvm", "ec2", "compute engine")


@dataclass(frozen=True)
class Host:
    """Facts that do not change while kit runs.

    Attributes:
        cpu: model name.
        machine: architecture, and a note when it is a virtual machine.
        os: distribution and kernel.
        quota: cores that a container may use, None without a limit.
    """

    cpu: str
    machine: str
    os: str
    quota: float | None


def parse_cpu_model(cpuinfo: str) -> str | None:
    """Return the processor's name in the text of `/proc/cpuinfo`, or None."""
    for key in ("model name", "Model", "Hardware", "cpu model"):
        match = re.search(rf"^{key}\s*:\s*(\S.*)$", cpuinfo, re.MULTILINE)
        if match:
            return " ".join(match[1].split())
    return None


# CPU features that determine how int8 products are computed.
_INT8_FEATURES = {
    *("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8"),
    *("asimd", "asimddp", "i8mm", "sve", "sve2", "sme"),
}


def parse_int8_features(cpuinfo: str) -> tuple[str, ...]:
    """Return the features in `/proc/cpuinfo` that matter for int8 products."""
    line = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)
    return tuple(sorted(_INT8_FEATURES & set(line[1].split()))) if line else ()


def describe() -> str:
    """Return name and features of this machine's processor, for messages."""
    text = read_text(Path("/proc/cpuinfo"))
    features = parse_int8_features(text)
    name = parse_cpu_model(text) or platform.machine()
    return f"{name} ({', '.join(features) or 'features unknown'})"


def is_virtual(cpuinfo: str, product: str) -> bool:
    """Return whether `/proc/cpuinfo` or the DMI product name show a hypervisor."""
    flags = re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE)
    if flags and "hypervisor" in flags[1].split():
        return True
    return any(name in product.lower() for name in _HYPERVISORS)


def parse_quota(cpu_max: str) -> float | None:
    """Return the cores that a cgroup's `cpu.max` allows, None without a limit.

    https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files
    """
    match = re.fullmatch(r"(\d+)\s+(\d+)\s*", cpu_max)
    return int(match[1]) / int(match[2]) if match and int(match[2]) else None


def parse_status_bytes(status: str, key: str) -> int | None:
    """Return a size in the text of `/proc/PID/status`, for example ``VmHWM``, in bytes."""
    match = re.search(rf"^{key}:\s*(\d+) kB$", status, re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def read_text(path: Path) -> str:
    """Return the text of a kernel's file; empty if the system has no such file."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def read_governor() -> str | None:
    """Return the cpufreq governor of the first core, None if there is none."""
    return read_text(_CPU) or None


def read_clusters() -> tuple[Cluster, ...]:
    """Return this machine's cores, grouped by their maximum clock."""
    root = Path("/sys/devices/system/cpu")
    clocks = (
        f"{folder.name.removeprefix('cpu')}:{read_text(folder / 'cpufreq/cpuinfo_max_freq')}"
        for folder in sorted(root.glob("cpu[0-9]*"))
    )
    present = parsing.parse_cpus(read_text(root / "present")) or range(os.cpu_count() or 1)
    return parsing.parse_clusters(present, "", "\n".join(clocks))


def read() -> Host:
    """Describe this machine."""
    cpuinfo = read_text(Path("/proc/cpuinfo"))
    product = read_text(Path("/sys/class/dmi/id/product_name"))
    note = " (virtual machine)" if is_virtual(cpuinfo, product) else ""
    return Host(
        cpu=parse_cpu_model(cpuinfo) or platform.processor() or "unknown processor",
        machine=platform.machine() + note,
        os=_system(),
        quota=parse_quota(read_text(Path("/sys/fs/cgroup/cpu.max"))),
    )


def _system() -> str:
    kernel = f"{platform.system()} {platform.release()}"
    try:
        return f"{platform.freedesktop_os_release()['PRETTY_NAME']}, {kernel}"
    except (OSError, KeyError):
        return kernel
