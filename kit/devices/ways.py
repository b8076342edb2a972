"""Which entries of a list are the same device: on USB and on the network, say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kit.devices import parsing
from kit.devices._limits import shorten

BOOT = "cat /proc/sys/kernel/random/boot_id"
# What emulators of one version share, and phones whose maker numbered none.
_SHARED = re.compile(r"EMULATOR.*|unknown|0+|0123456789ABCDEF", re.IGNORECASE)


@dataclass(frozen=True)
class WayIdentity:
    """What a device says about itself, by whichever way it is asked.

    Attributes:
        number: its serial number, ``ro.serialno``.
        model: as `kit devices` shows it.
        boot: id of the boot, new at each start; None if it is not told.
    """

    number: str
    model: str
    boot: str | None


def identity(props: Mapping[str, str], boot: str) -> WayIdentity | None:
    """Return who a device is by its properties and the id of its boot, which may be empty."""
    number = shorten(props.get("ro.serialno", "").strip())
    if not number:
        return None
    model = shorten(parsing.model(dict(props)))
    return WayIdentity(number, model, shorten(boot.strip()) or None)


def is_same(one: WayIdentity | None, other: WayIdentity | None) -> bool:
    """Return whether two are one device, as far as it can be known."""
    if one is None or other is None or (one.number, one.model) != (other.number, other.model):
        return False
    if one.boot and other.boot:
        return one.boot == other.boot
    return not _SHARED.fullmatch(one.number)


def find_first(identities: Mapping[str, WayIdentity | None]) -> dict[str, str]:
    """Return for each serial the first one of the same device, often itself."""
    firsts: dict[str, str] = {}
    for serial, own in identities.items():
        known = (
            first for first in dict.fromkeys(firsts.values()) if is_same(identities[first], own)
        )
        firsts[serial] = next(known, serial)
    return firsts
