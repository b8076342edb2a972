"""Settings of a device that kit changes while it measures, and always puts back.

How to put a setting back is written on the device before it is changed. Whoever comes next
reads that, so that a killed kit or a lost device leaves nothing behind for long.
"""

from __future__ import annotations

from dataclasses import dataclass

from kit.devices._store import ROOT, ask
from kit.devices._transport import Transport, quote

JOURNAL = f"{ROOT}/settings"
_STAYON = "stay_on_while_plugged_in"
_ALL_CHARGERS = "7"  # AC, USB, wireless: android.os.BatteryManager


@dataclass(frozen=True)
class Change:
    """One setting: what changes it and what puts it back, as shell."""

    name: str
    value: str
    apply: str
    restore: str


def apply(transport: Transport) -> dict[str, str]:
    """Change what makes a measurement steadier; return what was changed, and to what.

    A device without such a setting stays as it is.
    """
    changed = {}
    for change in (_stay_awake(transport), _fixed_performance()):
        if change is None:
            continue
        journal = f"echo {quote([change.restore])} >>{JOURNAL}"
        answer = ask(
            transport, f"{journal} && sync; {change.apply} >/dev/null 2>&1 && echo done; true"
        )
        if "done" in answer:
            changed[change.name] = change.value
    return changed


def restore(transport: Transport) -> None:
    """Put back everything that the journal on the device names, the newest change first."""
    ask(
        transport,
        f"[ -s {JOURNAL} ] || exit 0; n=$(wc -l <{JOURNAL}); "
        f'while [ "$n" -gt 0 ]; do eval "$(sed -n "${{n}}p" {JOURNAL})" >/dev/null 2>&1; '
        f"n=$((n-1)); done; rm -f {JOURNAL}",
    )


def _stay_awake(transport: Transport) -> Change | None:
    """The screen goes off after a minute, and some phones slow down with it."""
    before = ask(transport, f"settings get global {_STAYON} 2>/dev/null; true").strip()
    if not (before.isdigit() or before == "null") or before == _ALL_CHARGERS:
        return None
    put_back = (
        f"settings delete global {_STAYON}"
        if before == "null"
        else f"settings put global {_STAYON} {before}"
    )
    apply = f"settings put global {_STAYON} {_ALL_CHARGERS}"
    return Change("stay awake", "while plugged in", apply, put_back)


def _fixed_performance() -> Change:
    """Clocks that can be held, on phones that have the mode; nobody can ask whether it is on.

    https://source.android.com/docs/core/power/performance
    """
    mode = "cmd power set-fixed-performance-mode-enabled"
    return Change("fixed performance", "on", f"{mode} true", f"{mode} false")
