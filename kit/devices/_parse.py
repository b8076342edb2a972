"""What an Android device says, as records. Pure functions of text.

Devices differ: services may be missing, shells may end lines with CR LF, and a core that is
switched off says less than the others. What is not said is None, never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

# https://developer.android.com/reference/android/os/BatteryManager
_BATTERY_STATUS = {1: "unknown", 2: "charging", 3: "discharging", 4: "not charging", 5: "full"}
# https://developer.android.com/reference/android/os/PowerManager#THERMAL_STATUS_NONE
_THERMAL_STATUS = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")


@dataclass(frozen=True)
class Battery:
    """The state of the battery.

    Attributes:
        level: percent.
        temperature_c: degrees Celsius.
        plugged: what feeds the device: ``AC``, ``USB``, ``Wireless``, ``Dock``.
        status: ``charging``, ``discharging`` …
    """

    level: int | None
    temperature_c: float | None
    plugged: tuple[str, ...]
    status: str | None


@dataclass(frozen=True)
class Cluster:
    """Cores that share a clock; `max_mhz` is None where the kernel does not tell it."""

    cpus: tuple[int, ...]
    max_mhz: int | None


def lines(text: str) -> list[str]:
    """Return the lines of a shell's output, whatever ends them."""
    return [line.rstrip("\r") for line in text.split("\n")]


def devices(text: str) -> list[tuple[str, str]]:
    """Return serial and state from the server's answer to ``host:devices``.

    The state ``no permissions`` comes with an explanation, which is left out.
    """
    rows = (line.rsplit("\t", 1) for line in lines(text) if "\t" in line)
    return [(serial, _state(state)) for serial, state in rows]


def _state(text: str) -> str:
    return "no permissions" if text.strip().startswith("no permissions") else text.strip()


def properties(text: str) -> dict[str, str]:
    """Return the system properties that `getprop` lists; values may have several lines."""
    found = re.findall(r"^\[(.+?)\]: \[(.*?)\]$", "\n".join(lines(text)), re.MULTILINE | re.DOTALL)
    return dict(found)


def battery(text: str) -> Battery | None:
    """Read `dumpsys battery`; None where there is no such service or no battery."""
    fields: dict[str, str] = {}
    for line in lines(text):
        name, found, value = line.strip().partition(": ")
        if found:
            fields.setdefault(name, value.strip())  # vendors append lists that repeat names
    level, scale = _int(fields.get("level")), _int(fields.get("scale")) or 100
    if level is None or fields.get("present") == "false":
        return None
    tenths = _int(fields.get("temperature"))
    status = _int(fields.get("status"))
    return Battery(
        level=round(100 * level / scale),
        temperature_c=None if tenths is None else tenths / 10,
        plugged=tuple(n.removesuffix(" powered") for n in fields if _powers(n, fields[n])),
        status=None if status is None else _BATTERY_STATUS.get(status, "unknown"),
    )


def _powers(name: str, value: str) -> bool:
    return name.endswith(" powered") and value == "true"


def thermal_status(text: str) -> str | None:
    """Return the word for the status in `dumpsys thermalservice`; None before Android 10."""
    found = re.search(r"^\s*Thermal Status: (\d{1,3})\s*$", text, re.MULTILINE)
    if found is None or int(found[1]) >= len(_THERMAL_STATUS):
        return None
    return _THERMAL_STATUS[int(found[1])]


def memory(meminfo: str) -> int | None:
    """Return the bytes of memory in `/proc/meminfo`."""
    found = re.search(r"^MemTotal:\s+(\d{1,15}) kB", meminfo, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def cpus(text: str) -> tuple[int, ...]:
    """Return the numbers in a kernel's list of cores like ``0-3,6``."""
    found: set[int] = set()
    for first, last in re.findall(r"(?<![\d-])(\d{1,4})(?:-(\d{1,4}))?(?![\d-])", text):
        found |= set(range(int(first), int(last or first) + 1))
    return tuple(sorted(found))


def clusters(present: Iterable[int], policies: str, cores: str) -> tuple[Cluster, ...]:
    """Group cores by the clock they share.

    Args:
        present: cores that the kernel has, switched on or off.
        policies: a line ``CORE CORE …:KHZ`` for each cpufreq policy (its `related_cpus`).
        cores: a line ``CORE:KHZ`` for each core, for kernels whose policies cannot be read.

    Returns:
        Clusters in the order of their first core. Cores that no line tells of, as those that
        are off on old kernels, come as one without a clock.
    """
    left = set(present)
    found: list[Cluster] = []
    for group, khz in _clocks(policies):
        if members := left & set(group):
            found.append(Cluster(tuple(sorted(members)), khz // 1000))
            left -= members
    by_clock: dict[int, set[int]] = {}
    for group, khz in _clocks(cores):
        by_clock.setdefault(khz, set()).update(left & set(group))
    for khz, members in by_clock.items():
        if members:
            found.append(Cluster(tuple(sorted(members)), khz // 1000))
            left -= members
    if left:
        found.append(Cluster(tuple(sorted(left)), None))
    return tuple(sorted(found, key=lambda cluster: cluster.cpus))


def _clocks(text: str) -> list[tuple[tuple[int, ...], int]]:
    rows = re.findall(r"^([\d ,-]+):(\d{1,12})\s*$", "\n".join(lines(text)), re.MULTILINE)
    return [(cpus(group), int(khz)) for group, khz in rows if int(khz)]


def free_bytes(df: str) -> int | None:
    """Return the free bytes in `df -k` of one folder, also where a long name broke the line."""
    found = re.search(r"\s(\d{1,15})\s+\d{1,3}%\s+/", " ".join(lines(df)))
    return int(found[1]) * 1024 if found else None


def page_size(getconf: str, smaps: str) -> int | None:
    """Return the page size in bytes: by `getconf`, or by a line of `/proc/self/smaps`."""
    if (size := _int(getconf.strip())) is not None:
        return size
    found = re.search(r"^KernelPageSize:\s+(\d{1,6}) kB", smaps, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def seccomp(status: str) -> int | None:
    """Return the seccomp mode in `/proc/self/status`: 0 none, 1 strict, 2 a filter."""
    found = re.search(r"^Seccomp:\s+(\d)\s*$", status, re.MULTILINE)
    return int(found[1]) if found else None


def abis(props: Mapping[str, str]) -> tuple[str, ...]:
    """Return the ABIs that the device runs, the preferred one first."""
    text = props.get("ro.product.cpu.abilist") or props.get("ro.product.cpu.abi", "")
    return tuple(abi.strip() for abi in text.split(",") if abi.strip())


def model(props: Mapping[str, str]) -> str:
    """Return maker and model, the maker once."""
    maker, name = props.get("ro.product.manufacturer", ""), props.get("ro.product.model", "")
    if maker and name.lower().startswith(maker.lower()):
        maker = ""
    return " ".join(f"{maker} {name}".split()) or "unknown"


def soc(props: Mapping[str, str], cpuinfo: str) -> str | None:
    """Return the name of the chip; before Android 12 it is the board's or the kernel's word."""
    maker, name = props.get("ro.soc.manufacturer", ""), props.get("ro.soc.model", "")
    if name and name.lower() != "unknown":
        return f"{maker} {name}".strip() if maker.lower() != "unknown" else name
    hardware = re.search(r"^Hardware\s*:\s*(\S.*?)\s*$", cpuinfo, re.MULTILINE)
    if hardware:
        return hardware[1]
    return props.get("ro.board.platform") or props.get("ro.hardware") or None


def kind(props: Mapping[str, str], serial: str) -> Literal["phone", "emulator", "virtual"]:
    """Return what the device is; virtual ones are for kit's own tests."""
    if props.get("ro.kit.virtual") == "1":
        return "virtual"
    flags = ("ro.kernel.qemu", "ro.boot.qemu")
    emulated = any(props.get(name) == "1" for name in flags) or serial.startswith("emulator-")
    emulated |= props.get("ro.hardware") in ("goldfish", "ranchu", "cutf_cvm")
    return "emulator" if emulated else "phone"


def api(props: Mapping[str, str]) -> int | None:
    """Return the API level."""
    return _int(props.get("ro.build.version.sdk"))


def _int(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"-?\d{1,18}", text) else None
