"""Settings of a device that kit changes for a measurement and always restores.

Before a change, the command that restores the setting is written to a journal on the device.
The next kit executes it, so that changes do not survive a killed kit or a lost device for long.
A line of the journal is removed only after its setting was restored.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from kit.devices import parsing
from kit.devices._limits import shorten
from kit.devices.storage import ROOT, ask
from kit.devices.transport import Transport, quote
from kit.errors import DeviceError

JOURNAL = f"{ROOT}/settings"
_NEW, _BUSY = f"{JOURNAL}.new", f"{JOURNAL}.busy"
_BUSY_TENTHS = 100  # timeout for another script, in tenths of a second
_STAYON = "stay_on_while_plugged_in"
_ALL_CHARGERS = 7  # AC, USB, wireless: android.os.BatteryManager; a dock is 8


@dataclass(frozen=True)
class Change:
    """One setting, with the shell commands that change and restore it."""

    name: str
    value: str
    apply: str
    restore: str


def apply(transport: Transport) -> dict[str, str]:
    """Change settings to make measurements steadier; return the changed ones with their values.

    Settings that a device does not have are skipped.

    Raises:
        DeviceError: the device is too full to write the journal.
    """
    changed = {}
    for change in (keep_awake(transport), fix_performance()):
        if change is not None and "done" in ask(
            transport, _alone(make_change_script(change)), timeout=40
        ):
            changed[change.name] = change.value
    return changed


def make_change_script(change: Change) -> str:
    """Return a script that journals a change, makes it, and prints ``done`` if it was made.

    Until it is made, the restoring command may fail: the device may not have the setting.
    """
    line = quote([f"{change.restore} || true"])
    before = _written(f"{{ [ ! -e {JOURNAL} ] || cat {JOURNAL}; }} && echo {line}")
    without = f"sed '$d' {JOURNAL}"
    return (
        f'{before} && [ "$(tail -n 1 {JOURNAL})" = {line} ] && sync || exit 1; '
        f"if {{ {change.apply}; }} >/dev/null 2>&1; "
        f"then {_written(f'{without} && echo {quote([change.restore])}')}; echo done; "
        f"else {{ {change.restore}; }} >/dev/null 2>&1; {_written(without)}; fi; true"
    )


def _written(script: str) -> str:
    """Return a script that atomically replaces the journal with another script's output."""
    return f"{{ {{ {script}; }} >{_NEW} && mv {_NEW} {JOURNAL} || {{ rm -f {_NEW}; false; }}; }}"


def restore(transport: Transport) -> tuple[str, ...]:
    """Put back everything that the journal on the device names, the newest change first.

    Returns:
        The commands that failed, the oldest first; they stay in the journal.
    """
    rest = _written('printf "%s" "$kept"')
    script = (
        f"[ -s {JOURNAL} ] || {{ rm -f {JOURNAL}; exit 0; }}; n=$(wc -l <{JOURNAL}); kept=; "
        f'while [ "$n" -gt 0 ]; do line=$(sed -n "${{n}}p" {JOURNAL}); '
        '(eval "$line") >/dev/null 2>&1 </dev/null || kept="$line\n$kept"; n=$((n-1)); done; '
        f'if [ -z "$kept" ]; then rm -f {JOURNAL}; else {rest}; fi; printf "%s" "$kept"'
    )
    failed = ask(transport, _alone(script), timeout=60)
    return tuple(failed.splitlines())


def _alone(script: str) -> str:
    """Return a script that runs another one to completion, after any one still running.

    A lost connection or Ctrl-C ends kit's wait for a script, but not the script itself: a change
    that it makes after the setting was restored would persist.
    """
    return (
        f"trap '' HUP PIPE; n=0; while [ -e {_BUSY} ] && [ $n -lt {_BUSY_TENTHS} ]; "
        f"do sleep 0.1; n=$((n+1)); done; {{ : >{_BUSY}; }} 2>/dev/null; "
        f"({script}); code=$?; rm -f {_BUSY} {_NEW}; exit $code"
    )


def make_restore_error(serial: str, failed: Sequence[str]) -> DeviceError:
    """Return the error for settings that `restore` could not restore."""
    return DeviceError(
        f"{serial!r} did not take settings back that a measurement changed: "
        f"{shorten('; '.join(failed))}",
        f"unlock it and run `kit clean --device {shlex.quote(serial)}`; how to put them back "
        f"stays on it, in {JOURNAL}, and these commands do it in `adb shell`",
    )


def keep_awake(transport: Transport) -> Change | None:
    """Keep the screen on: some phones slow down when it goes off after a minute."""
    before = ask(transport, f"settings get global {_STAYON} 2>/dev/null; true").strip()
    if before != "null":
        chargers = parsing.parse_integer(before)
        if chargers is None or chargers < 0:
            return None  # the value is unknown
        if chargers & _ALL_CHARGERS == _ALL_CHARGERS:
            return None  # it is set already
    put_back = f"delete global {_STAYON}" if before == "null" else f"put global {_STAYON} {before}"
    apply = f"put global {_STAYON} {_ALL_CHARGERS}"
    return Change(
        "stay awake",
        "while plugged in",
        _set(apply, str(_ALL_CHARGERS)),
        _set(put_back, before),
    )


def _set(words: str, value: str) -> str:
    """Return a script that changes a setting and verifies it."""
    return f'settings {words}; [ "$(settings get global {_STAYON})" = {value} ]'


def fix_performance() -> Change:
    """Limit clocks to sustainable ones, on phones that have the mode.

    Whether it is on cannot be queried: `cmd power` only sets it, and neither `dumpsys power` nor
    the vendor's power HAL prints it. So it is switched off afterwards, as after a boot.

    https://source.android.com/docs/core/power/performance
    https://cs.android.com/android/platform/superproject/+/main:frameworks/base/services/core/java/com/android/server/power/PowerManagerShellCommand.java
    """
    mode = "cmd power set-fixed-performance-mode-enabled"
    return Change("fixed performance", "on", f"{mode} true", f"{mode} false")
