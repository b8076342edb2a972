"""Parsers of an Android device's output: pure functions of text.

Devices differ: services may be missing, shells may end lines with CR LF, and an offline core
reports less than the others. Missing and impossible values are None, never a guess. Each
function takes time linear in the length of its text, whatever the content.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

N = TypeVar("N", int, float)

# https://developer.android.com/reference/android/os/BatteryManager
_BATTERY_STATUS = {1: "unknown", 2: "charging", 3: "discharging", 4: "not charging", 5: "full"}
# https://developer.android.com/reference/android/os/PowerManager#THERMAL_STATUS_NONE
_THERMAL_STATUS = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
MAX_CPUS = 1024  # the size of a mask of `--cpus`
_MAX_PROPERTIES = 10_000  # phones have about a thousand
_MAX_LIST = 16 * 1024  # letters of a list of cores
_LIST = "0123456789 ,-"  # the letters of one
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_DECIMAL = re.compile(r"[0-9]{1,9}(?![0-9])(?:\.[0-9]{1,9})?")
_MAX_BYTES = 2**50
_DEGREES = (-100.0, 200.0)  # plausible temperatures of a battery, Celsius


@dataclass(frozen=True)
class Battery:
    """The state of the battery.

    Attributes:
        level: percent.
        temperature_c: degrees Celsius.
        plugged: power sources: ``AC``, ``USB``, ``Wireless``, ``Dock``.
        status: ``charging``, ``discharging`` …
    """

    level: int | None
    temperature_c: float | None
    plugged: tuple[str, ...]
    status: str | None


@dataclass(frozen=True)
class Cluster:
    """Cores that share a clock; `max_mhz` is None if the kernel does not report it."""

    cpus: tuple[int, ...]
    max_mhz: int | None


def split_lines(text: str) -> list[str]:
    """Return the lines of a shell's output, which may end with LF or CR LF."""
    return [line.rstrip("\r") for line in text.split("\n")]


def parse_devices(text: str) -> list[tuple[str, str]]:
    """Return serial and state from the server's answer to ``host:devices``.

    The explanation after the state ``no permissions`` is dropped.
    """
    rows = (line.rsplit("\t", 1) for line in split_lines(text) if "\t" in line)
    return [(serial, _state(state)) for serial, state in rows]


def _state(text: str) -> str:
    return "no permissions" if text.strip().startswith("no permissions") else text.strip()


def parse_properties(text: str) -> dict[str, str]:
    """Return the system properties that `getprop` lists; values may have several lines."""
    values: dict[str, str] = {}
    name, value = "", list[str]()  # of the current property; no name between two properties
    for line in split_lines(text):
        if name:
            value.append(line)
        else:
            name, value = _property_start(line)
        if name and value[-1].endswith("]"):
            values[name] = "\n".join(value)[:-1]
            name = ""
            if len(values) == _MAX_PROPERTIES:
                break
    return values


def _property_start(line: str) -> tuple[str, list[str]]:
    """Return the name and first line of a property's value; an empty name if none starts."""
    name, separator, value = line.partition("]: [")
    if not separator or not name.startswith("[") or len(name) < 2:
        return "", []
    return name[1:], [value]


def parse_battery(text: str) -> Battery | None:
    """Read `dumpsys battery`; None if there is no such service or no battery."""
    fields: dict[str, str] = {}
    for line in split_lines(text):
        name, separator, value = line.strip().partition(": ")
        if separator:
            fields.setdefault(name, value.strip())  # vendors append lists that repeat names
    level, scale = parse_integer(fields.get("level")), parse_integer(fields.get("scale")) or 100
    if level is None or fields.get("present") == "false":
        return None
    tenths = parse_integer(fields.get("temperature"))
    status = parse_integer(fields.get("status"))
    return Battery(
        level=_within(round(100 * level / scale), 0, 100),
        temperature_c=None if tenths is None else _within(tenths / 10, *_DEGREES),
        plugged=tuple(n.removesuffix(" powered") for n in fields if _powers(n, fields[n])),
        status=None if status is None else _BATTERY_STATUS.get(status, "unknown"),
    )


def _within(number: N, low: float, high: float) -> N | None:
    """Return a number if it is plausible, else None."""
    return number if low <= number <= high else None


def _powers(name: str, value: str) -> bool:
    return name.endswith(" powered") and value == "true"


def parse_thermal_status(text: str) -> str | None:
    """Return the word for the status in `dumpsys thermalservice`; None before Android 10."""
    status = parse_integer(_value(text, "Thermal Status:"))
    is_known = status is not None and 0 <= status < len(_THERMAL_STATUS)
    return _THERMAL_STATUS[status] if status is not None and is_known else None


def _value(text: str, key: str) -> str | None:
    """Return the text after a key, from the first line that starts with the key."""
    for line in split_lines(text):
        stripped = line.strip()
        if stripped.startswith(key):
            return stripped.removeprefix(key).strip()
    return None


def _kilobytes(text: str, key: str) -> int | None:
    """Return the bytes from a line like ``MemTotal: 7620000 kB``; None if there is none."""
    number, _, unit = (_value(text, key) or "").partition(" ")
    size = parse_integer(number) if unit == "kB" else None
    return None if size is None or size <= 0 else _within(size * 1024, 0, _MAX_BYTES)


def parse_memory(meminfo: str) -> int | None:
    """Return the bytes of memory in `/proc/meminfo`."""
    return _kilobytes(meminfo, "MemTotal:")


def parse_cpus(text: str) -> tuple[int, ...]:
    """Return the numbers in a kernel's list of cores like ``0-3,6``, those below `MAX_CPUS`."""
    numbers: set[int] = set()
    listed = text[:_MAX_LIST]
    for first, last in re.findall(r"(?<![\d-])(\d{1,4})(?:-(\d{1,4}))?(?![\d-])", listed):
        numbers |= set(range(int(first), min(int(last or first) + 1, MAX_CPUS)))
        if len(numbers) == MAX_CPUS:
            break
    return tuple(sorted(numbers))


def parse_clusters(present: Iterable[int], policies: str, cores: str) -> tuple[Cluster, ...]:
    """Group cores by the clock they share.

    Args:
        present: cores of the kernel, online or not.
        policies: a line ``CORE CORE …:KHZ`` for each cpufreq policy (its `related_cpus`).
        cores: a line ``CORE:KHZ`` for each core, for kernels whose policies cannot be read.

    Returns:
        Clusters in the order of their first core. Cores that are on no line, like offline ones
        of old kernels, form one cluster without a clock.
    """
    left = set(present)
    groups: list[Cluster] = []
    for group, khz in _clocks(policies):
        if members := left & set(group):
            groups.append(Cluster(tuple(sorted(members)), khz // 1000))
            left -= members
    by_clock: dict[int, set[int]] = {}
    for group, khz in _clocks(cores):
        by_clock.setdefault(khz, set()).update(left & set(group))
    for khz, members in by_clock.items():
        if members:
            groups.append(Cluster(tuple(sorted(members)), khz // 1000))
            left -= members
    if left:
        groups.append(Cluster(tuple(sorted(left)), None))
    return tuple(sorted(groups, key=lambda cluster: cluster.cpus))


def _clocks(text: str) -> list[tuple[tuple[int, ...], int]]:
    rows = (line.strip().rpartition(":") for line in split_lines(text)[:MAX_CPUS])
    valid = (
        (group, parse_integer(khz)) for group, _, khz in rows if group and not group.strip(_LIST)
    )
    return [(parse_cpus(group), khz) for group, khz in valid if khz is not None and khz > 0]


def parse_free_bytes(df: str) -> int | None:
    """Return the free bytes in `df -k` of one folder, also where a long name broke the line."""
    match = re.search(r"\s(\d{1,15})\s+\d{1,3}%\s+/", " ".join(split_lines(df)))
    return int(match[1]) * 1024 if match else None


def parse_page_size(getconf: str, smaps: str) -> int | None:
    """Return the page size in bytes: by `getconf`, or by a line of `/proc/self/smaps`."""
    size = parse_integer(getconf.strip())
    return size if size is not None and size > 0 else _kilobytes(smaps, "KernelPageSize:")


def parse_seccomp(status: str) -> int | None:
    """Return the seccomp mode in `/proc/self/status`: 0 none, 1 strict, 2 a filter."""
    mode = parse_integer(_value(status, "Seccomp:"))
    return mode if mode in (0, 1, 2) else None


def parse_abis(props: Mapping[str, str]) -> tuple[str, ...]:
    """Return the ABIs that the device runs, the preferred one first."""
    text = props.get("ro.product.cpu.abilist") or props.get("ro.product.cpu.abi", "")
    return tuple(abi.strip() for abi in text.split(",") if abi.strip())


def parse_model(props: Mapping[str, str]) -> str:
    """Return maker and model, the maker once."""
    maker, name = props.get("ro.product.manufacturer", ""), props.get("ro.product.model", "")
    if maker and name.lower().startswith(maker.lower()):
        maker = ""
    return " ".join(f"{maker} {name}".split()) or "unknown"


def parse_soc(props: Mapping[str, str], cpuinfo: str) -> str | None:
    """Return the name of the chip; before Android 12, the board's or kernel's name for it."""
    maker, name = props.get("ro.soc.manufacturer", ""), props.get("ro.soc.model", "")
    if name and name.lower() != "unknown":
        return f"{maker} {name}".strip() if maker.lower() != "unknown" else name
    pairs = (line.partition(":") for line in split_lines(cpuinfo))
    hardware = next((value.strip() for key, _, value in pairs if key.rstrip() == "Hardware"), "")
    return hardware or props.get("ro.board.platform") or props.get("ro.hardware") or None


def parse_kind(props: Mapping[str, str], serial: str) -> Literal["phone", "emulator", "virtual"]:
    """Return the kind of the device; virtual ones are for kit's own tests."""
    if props.get("ro.kit.virtual") == "1":
        return "virtual"
    flags = ("ro.kernel.qemu", "ro.boot.qemu")
    emulated = any(props.get(name) == "1" for name in flags) or serial.startswith("emulator-")
    emulated |= props.get("ro.hardware") in ("goldfish", "ranchu", "cutf_cvm")
    return "emulator" if emulated else "phone"


def parse_api(props: Mapping[str, str]) -> int | None:
    """Return the API level."""
    return parse_integer(props.get("ro.build.version.sdk"))


def parse_integer(text: str | None) -> int | None:
    """Return a text as an integer, None if it is none or has over 18 digits."""
    return int(text) if text and _WHOLE.fullmatch(text) else None


def parse_decimal(text: str) -> float | None:
    """Return the number below 10**9 at the start of a text, like that of ``/proc/uptime``."""
    match = _DECIMAL.match(text.lstrip())
    return float(match[0]) if match else None
