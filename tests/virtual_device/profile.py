"""What a fresh virtual device says about itself: properties, processors, clocks, sensors.

Everything calls itself virtual. The cores are this machine's (an affinity mask must mean
something); their clocks and the split into little and big ones are made up.
"""

from __future__ import annotations

import os
from pathlib import Path

LITTLE, BIG = 0xD05, 0xD0B  # Cortex-A55 and Cortex-A76
LITTLE_KHZ, BIG_KHZ = 1_800_000, 2_400_000
# What qemu's cortex-a76 has.
FEATURES = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop"
    " asimddp"
)
ABIS = {"arm64": "arm64-v8a", "x86_64": "x86_64"}
SERVICES = ("battery", "power", "thermalservice")


def properties(arch: str, port: int) -> dict[str, str]:
    """Return the properties that `getprop` prints."""
    name = f"vdev-{arch}"
    return {
        "ro.kit.virtual": "1",
        "ro.kernel.qemu": "1",
        "ro.boot.qemu": "1",
        "ro.hardware": "vdev",
        "ro.serialno": f"vdev-{port}",
        "ro.product.model": name,
        "ro.product.device": name,
        "ro.product.name": name,
        "ro.product.brand": "kit",
        "ro.product.manufacturer": "kit",
        "ro.product.cpu.abi": ABIS[arch],
        "ro.product.cpu.abilist": ABIS[arch],
        "ro.soc.manufacturer": "virtual",
        "ro.soc.model": name,
        "ro.board.platform": "vdev",
        "ro.build.version.release": "15",
        "ro.build.version.sdk": "35",
        "ro.build.fingerprint": f"kit/{name}/not-android",
        "ro.build.type": "virtual",
        "sys.boot_completed": "1",
    }


def values() -> dict[str, str]:
    """Return the other values that the shims read, by file name."""
    return {
        "battery/level": "80",
        "battery/temperature": "285",  # tenths of a degree Celsius
        "battery/status": "2",  # 2 charging, 3 discharging, 5 full
        "battery/usb_powered": "true",
        "thermal/status": "0",
        "power/fixed_performance": "false",
        "page_size": "4096",
        "services": "\n".join(SERVICES),
    }


def cores() -> int:
    """Return how many cores the device has: as many as this machine."""
    return os.cpu_count() or 1


def big(arch: str, core: int) -> bool:
    """Whether a core is a big one: on arm64 the upper half is, elsewhere all are."""
    return arch != "arm64" or core >= cores() // 2


def cpuinfo() -> str:
    """Return an Arm `/proc/cpuinfo` with two kinds of cores.

    qemu 8.2 and newer shows programs one of its own instead, of its processor alone.
    """
    blocks = []
    for core in range(cores()):
        fields = {
            "processor": core,
            "BogoMIPS": "38.40",
            "Features": FEATURES,
            "CPU implementer": "0x41",
            "CPU architecture": 8,
            "CPU variant": "0x1",
            "CPU part": hex(BIG if big("arm64", core) else LITTLE),
            "CPU revision": 0,
        }
        blocks.append("".join(f"{name}\t: {value}\n" for name, value in fields.items()))
    return "\n".join([*blocks, "Hardware\t: virtual device (qemu-user)\n"])


def write_sys(folder: Path, arch: str) -> None:
    """Write the part of `/sys` that benchmarks and runtimes read."""
    every = "0" if cores() == 1 else f"0-{cores() - 1}"
    files = {f"devices/system/cpu/{name}": every for name in ("possible", "present", "online")}
    for core in range(cores()):
        files |= _core(arch, core)
    files["class/thermal/thermal_zone0/type"] = "vdev-battery"
    files["class/thermal/thermal_zone0/temp"] = "28500"
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text + "\n")


def _core(arch: str, core: int) -> dict[str, str]:
    mates = [n for n in range(cores()) if big(arch, n) == big(arch, core)]
    top = str(BIG_KHZ if big(arch, core) else LITTLE_KHZ)
    files = {
        "online": "1",
        "topology/core_id": str(core),
        "topology/physical_package_id": "0",
        "topology/cluster_id": str(int(big(arch, core))),
        "cpufreq/related_cpus": " ".join(map(str, mates)),
        "cpufreq/scaling_governor": "virtual",
        "cpufreq/cpuinfo_min_freq": "600000",
        "cpufreq/cpuinfo_max_freq": top,
        "cpufreq/scaling_max_freq": top,
        "cpufreq/scaling_cur_freq": top,
    }
    if arch == "arm64":
        files["cpu_capacity"] = "1024" if big(arch, core) else "382"
    return {f"devices/system/cpu/cpu{core}/{name}": text for name, text in files.items()}
