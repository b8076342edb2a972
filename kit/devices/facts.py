"""Facts about a device and its state, queried in one round trip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kit.devices import parsing, ways
from kit.devices._limits import shorten
from kit.devices.parsing import Battery, Cluster
from kit.devices.transport import Transport
from kit.errors import DeviceError

FOLDER = "/data/local/tmp"

# A shell may print a banner first; none has this text.
MARK = "==kit:7c1f0e:"
COMMANDS = {
    "props": "getprop",
    "battery": "dumpsys battery",
    "thermal": "dumpsys thermalservice",
    "meminfo": "cat /proc/meminfo",
    "cpuinfo": "cat /proc/cpuinfo",
    "present": "cat /sys/devices/system/cpu/present",
    "online": "cat /sys/devices/system/cpu/online",
    "policies": "for p in /sys/devices/system/cpu/cpufreq/policy*; do "
    'echo "$(cat $p/related_cpus):$(cat $p/cpuinfo_max_freq)"; done',
    "cores": "for c in /sys/devices/system/cpu/cpu[0-9]*; do "
    'echo "${c##*cpu}:$(cat $c/cpufreq/cpuinfo_max_freq)"; done',
    "df": f"df -k {FOLDER}",
    "getconf": "getconf PAGE_SIZE",
    "smaps": "grep -m 1 KernelPageSize /proc/self/smaps",
    "status": "cat /proc/self/status",
    "selinux": "getenforce",
    "uname": "uname -r -m",
    "boot": ways.BOOT,
}


@dataclass(frozen=True)
class DeviceFacts:
    """One device; None is what the device does not report.

    Attributes:
        serial: as adb names it.
        kind: emulated and virtual devices are never ranked with phones.
        state: as in `adb devices`; always ``device`` here.
        model: maker and model.
        soc: name of the chip.
        build: fingerprint of the installed system.
        android: version, for example ``14``.
        api: API level.
        abis: the preferred one first.
        cores: number of cores of the kernel.
        online: numbers of the cores that are online.
        clusters: cores grouped by the clock they share.
        memory: bytes.
        free_bytes: in `FOLDER`.
        page_size: bytes, 4096 or 16384.
        battery: None if there is none.
        thermal_status: ``none`` … ``shutdown``; None before Android 10.
        seccomp: mode of a shell's children.
        selinux: ``Enforcing``, ``Permissive`` or ``Disabled``.
        kernel: release and architecture.
        identity: the same over every transport; None without a serial number.
        also: other serials of the same device.
    """

    serial: str
    kind: Literal["phone", "emulator", "virtual"]
    state: str
    model: str
    soc: str | None
    build: str | None
    android: str | None
    api: int | None
    abis: tuple[str, ...]
    cores: int | None
    online: tuple[int, ...]
    clusters: tuple[Cluster, ...]
    memory: int | None
    free_bytes: int | None
    page_size: int | None
    battery: Battery | None
    thermal_status: str | None
    seccomp: int | None
    selinux: str | None
    kernel: str | None
    identity: ways.WayIdentity | None
    also: tuple[str, ...] = ()


def gather(transport: Transport) -> DeviceFacts:
    """Query a device for its facts.

    Raises:
        DeviceLost: the connection broke.
        DeviceError: its shell ran none of our commands.
    """
    done = transport.shell(make_script(), timeout=30)
    outputs = split(done.stdout)
    if not outputs:
        raise DeviceError(
            f"the shell of {transport.serial!r} answered {done.stdout[:80]!r}",
            "check that it is an Android device and has started completely",
        )
    return parse_facts(transport.serial, outputs)


def make_script() -> str:
    """Return the shell script whose output `split` parses."""
    steps = (f"echo; echo '{MARK}{name}'; {line}" for name, line in COMMANDS.items())
    return "{ " + "; ".join(steps) + "; } 2>/dev/null; true"


def split(output: str) -> dict[str, str]:
    """Return the output of each command of `make_script`, by its name."""
    pieces = output.replace("\r\n", "\n").split(MARK)[1:]
    named = (piece.partition("\n") for piece in pieces)
    return {name.strip(): text.strip("\n") for name, _, text in named if name.strip() in COMMANDS}


def parse_facts(serial: str, outputs: dict[str, str]) -> DeviceFacts:
    """Return the facts from the outputs of the commands of `make_script`; see `split`."""
    texts = {name: outputs.get(name, "") for name in COMMANDS}
    props = {name: shorten(text) for name, text in parsing.parse_properties(texts["props"]).items()}
    soc = parsing.parse_soc(props, texts["cpuinfo"])
    present = parsing.parse_cpus(texts["present"])
    return DeviceFacts(
        serial=serial,
        kind=parsing.parse_kind(props, serial),
        state="device",
        model=parsing.parse_model(props),
        soc=shorten(soc) if soc else None,
        build=props.get("ro.build.fingerprint") or None,
        android=props.get("ro.build.version.release") or None,
        api=parsing.parse_api(props),
        abis=parsing.parse_abis(props),
        cores=len(present) or None,
        online=parsing.parse_cpus(texts["online"]),
        clusters=parsing.parse_clusters(present, texts["policies"], texts["cores"]),
        memory=parsing.parse_memory(texts["meminfo"]),
        free_bytes=parsing.parse_free_bytes(texts["df"]),
        page_size=parsing.parse_page_size(texts["getconf"], texts["smaps"]),
        battery=parsing.parse_battery(texts["battery"]),
        thermal_status=parsing.parse_thermal_status(texts["thermal"]),
        seccomp=parsing.parse_seccomp(texts["status"]),
        selinux=shorten(texts["selinux"].strip()) or None,
        kernel=shorten(texts["uname"].strip()) or None,
        identity=ways.make_identity(props, texts["boot"]),
    )
