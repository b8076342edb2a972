"""What a test changes on a running device, and what the device wrote down.

One file per value, replaced in one step: the shims read them on every call.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

US, RS = "\x1f", "\x1e"
# Once per command: the shells that it starts itself inherit the mark.
BANNER = """#!/vdev/sh
[ -n "$VDEV_GREETED" ] || cat /data/vdev/banner
VDEV_GREETED=1 exec /vdev/sh "$@"
"""
FixedPerformance = Literal["true", "false", "unsupported"]


@dataclass(frozen=True)
class Call:
    """A shim that was run, with its arguments."""

    program: str
    arguments: tuple[str, ...]


class State:
    """The values of one device.

    Args:
        folder: the device's own folder on the host.
    """

    def __init__(self, folder: Path) -> None:
        self.values, self.sys = folder / "values", folder / "sys"
        self._shell = folder / "system/bin/sh"

    def set(
        self,
        *,
        temperature: float | None = None,
        battery: int | None = None,
        battery_status: int | None = None,
        thermal_status: int | None = None,
        clock: int | Mapping[int, int] | None = None,
        max_clock: int | Mapping[int, int] | None = None,
        online: str | None = None,
        page_size: int | None = None,
        fixed_performance: FixedPerformance | None = None,
    ) -> None:
        """Change what the device reports from now on.

        Args:
            temperature: of battery and first thermal zone, degrees Celsius.
            battery: level in percent.
            battery_status: 2 charging, 3 discharging, 4 not charging, 5 full.
            thermal_status: 0 none to 6 shutdown.
            clock: present clock in kHz, of all cores or by core.
            max_clock: highest clock in kHz, of all cores or by core.
            online: cores that are on, as Linux lists them: `0-1`.
            page_size: in bytes; a claim only.
            fixed_performance: what the mode is, or `unsupported` as on most phones.
        """
        if temperature is not None:
            replace(self.values / "battery/temperature", str(round(temperature * 10)))
            replace(self.sys / "class/thermal/thermal_zone0/temp", str(round(temperature * 1000)))
        plain = {
            "battery/level": battery,
            "battery/status": battery_status,
            "thermal/status": thermal_status,
            "page_size": page_size,
            "power/fixed_performance": fixed_performance,
        }
        for name, value in plain.items():
            if value is not None:
                replace(self.values / name, str(value))
        if page_size is not None:
            self.prop("ro.boot.hardware.cpu.pagesize", str(page_size))
        self._clocks("scaling_cur_freq", clock)
        self._clocks("cpuinfo_max_freq", max_clock)
        if online is not None:
            self._online(online)

    def prop(self, name: str, value: str | None) -> None:
        """Set what `getprop NAME` prints; None removes the property."""
        file = self.values / "props" / name
        if value is None:
            file.unlink(missing_ok=True)
        else:
            replace(file, value)

    def dumpsys(self, service: str, text: str | None) -> None:
        """Let `dumpsys SERVICE` print this text; None makes it a service nobody can find."""
        if text is None:
            kept = [one for one in self._read("services").split() if one != service]
            replace(self.values / "services", "\n".join(kept))
        else:
            replace(self.values / "dumpsys" / service, text)

    def banner(self, text: str | None) -> None:
        """Let every command that comes over adb print this first, as some vendors' shells do."""
        part = self._shell.with_name(".sh")
        if text is None:
            part.symlink_to("/vdev/sh")
        else:
            replace(self.values / "banner", text)
            part.write_text(BANNER)
            part.chmod(0o755)
        part.rename(self._shell)

    @property
    def fixed_performance(self) -> str:
        """`true` or `false`, as last asked for, or `unsupported`."""
        return self._read("power/fixed_performance")

    def settings(self) -> dict[str, dict[str, str]]:
        """Return the settings by namespace and key."""
        spaces = sorted((self.values / "settings").iterdir())
        return {s.name: {f.name: f.read_text().rstrip("\n") for f in s.iterdir()} for s in spaces}

    def calls(self) -> list[Call]:
        """Return the shims that were run, first one first."""
        log = self.values / "calls"
        text = log.read_text(errors="surrogateescape") if log.exists() else ""
        rows = [row.split(US) for row in text.split(US + RS + US) if row]
        return [Call(row[0], tuple(row[1:])) for row in rows]

    def packages(self) -> list[str]:
        """Return the names of the packages that `pm install` recorded."""
        return sorted(one.name for one in (self.values / "packages").iterdir())

    def _read(self, name: str) -> str:
        return (self.values / name).read_text().strip()

    def _clocks(self, name: str, wanted: int | Mapping[int, int] | None) -> None:
        if wanted is None:
            return
        cores = self.sys.glob("devices/system/cpu/cpu[0-9]*")
        numbers = sorted(int(one.name.removeprefix("cpu")) for one in cores)
        by_core = wanted if isinstance(wanted, Mapping) else dict.fromkeys(numbers, wanted)
        for core, khz in by_core.items():
            replace(self.sys / f"devices/system/cpu/cpu{core}/cpufreq/{name}", str(khz))

    def _online(self, listed: str) -> None:
        on: set[int] = set()
        for part in listed.split(","):
            first, _, last = part.partition("-")
            on |= set(range(int(first), int(last or first) + 1))
        replace(self.sys / "devices/system/cpu/online", listed)
        for core in self.sys.glob("devices/system/cpu/cpu[0-9]*"):
            number = int(core.name.removeprefix("cpu"))
            replace(core / "online", str(int(number in on)))


def replace(file: Path, text: str) -> None:
    """Write a value so that a reader sees the old one or the new one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}")
    part.write_text(text + "\n")
    part.rename(file)
