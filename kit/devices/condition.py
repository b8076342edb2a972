"""State of a device during a measurement: a cheap script, and a parser of its output."""

from __future__ import annotations

import re
from itertools import islice

from kit.devices import parsing
from kit.errors import DeviceLost
from kit.results.context import Condition

_MARK = "==kit:condition"
_MAX_KHZ = 100_000_000
_CORES, _CLOCK = "/sys/devices/system/cpu", "cpufreq/scaling_cur_freq"
SCRIPT = (
    f"echo; echo {_MARK} uptime; cat /proc/uptime; "
    f"echo {_MARK} battery; dumpsys battery 2>/dev/null; "
    f"echo {_MARK} thermal; dumpsys thermalservice 2>/dev/null; "
    # In two steps, so that core 10 comes after core 9.
    f"echo {_MARK} clocks; cat {_CORES}/cpu[0-9]/{_CLOCK} {_CORES}/cpu[0-9][0-9]/{_CLOCK} "
    f"2>/dev/null; echo {_MARK} end"
)


def parse(text: str, began: float = 0.0) -> Condition | None:
    """Return the condition in the output of `SCRIPT`, None if that is incomplete.

    Args:
        text: output of the script, possibly surrounded by other text.
        began: uptime in seconds that `Condition.seconds` is relative to.
    """
    pieces = re.split(rf"^{_MARK} (\w+)\s*$", text.replace("\r\n", "\n"), flags=re.MULTILINE)
    sections = dict(zip(pieces[1::2], pieces[2::2], strict=False))
    if "end" not in sections:
        return None
    uptime = parsing.parse_decimal(sections.get("uptime", ""))
    battery = parsing.parse_battery(sections.get("battery", ""))
    return Condition(
        seconds=round(uptime - began, 2) if uptime is not None else 0.0,
        temperature_c=battery.temperature_c if battery else None,
        thermal_status=parsing.parse_thermal_status(sections.get("thermal", "")),
        battery=battery.level if battery else None,
        mhz=_clocks(sections.get("clocks", "")),
    )


def _clocks(text: str) -> tuple[float, ...]:
    """Return MHz from lines in kHz, for up to `parsing.MAX_CPUS` cores."""
    khz = (parsing.parse_integer(line.strip()) for line in text.split("\n"))
    mhz = (clock / 1000 for clock in khz if clock is not None and 0 <= clock <= _MAX_KHZ)
    return tuple(islice(mhz, parsing.MAX_CPUS))


def check_restart(serial: str, uptime: float, before: float) -> None:
    """Check by its uptime that a device was not restarted; the time of day may jump.

    Raises:
        DeviceLost: it was restarted, which ended the run and reset the settings for it.
    """
    if uptime < before:
        raise DeviceLost(
            f"lost device {serial!r}: it restarted during the measurement",
            "wait until it is idle, and measure again; heat or a low battery can restart a device",
        )


def is_cool(condition: Condition, limit_c: float) -> bool:
    """Return whether a measurement may begin; unknown values do not prevent it."""
    warm = condition.temperature_c is not None and condition.temperature_c > limit_c
    return not warm and condition.thermal_status in (None, "none")
