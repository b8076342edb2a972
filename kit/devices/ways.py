"""Detect listed serials of the same device, for example on USB and on the network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kit.devices import parsing
from kit.devices._limits import shorten

BOOT = "cat /proc/sys/kernel/random/boot_id"
# Serial numbers that several devices share: emulators', and makers' placeholders.
_SHARED = re.compile(r"EMULATOR.*|unknown|0+|0123456789ABCDEF", re.IGNORECASE)


@dataclass(frozen=True)
class WayIdentity:
    """Identity of a device that is the same over every transport.

    Attributes:
        number: its serial number, ``ro.serialno``.
        model: as `kit devices` shows it.
        boot: id of the boot, new at each start; None if it is not reported.
    """

    number: str
    model: str
    boot: str | None


def make_identity(props: Mapping[str, str], boot: str) -> WayIdentity | None:
    """Return a device's identity from its properties and boot id, which may be empty."""
    number = shorten(props.get("ro.serialno", "").strip())
    if not number:
        return None
    model = shorten(parsing.parse_model(dict(props)))
    return WayIdentity(number, model, shorten(boot.strip()) or None)


def is_same(one: WayIdentity | None, other: WayIdentity | None) -> bool:
    """Return whether two identities are certainly of one device."""
    if one is None or other is None or (one.number, one.model) != (other.number, other.model):
        return False
    if one.boot and other.boot:
        return one.boot == other.boot
    return not _SHARED.fullmatch(one.number)


def find_first(identities: Mapping[str, WayIdentity | None]) -> dict[str, str]:
    """Return for each serial the first serial of the same device."""
    firsts: dict[str, str] = {}
    for serial, own in identities.items():
        earlier = (
            first for first in dict.fromkeys(firsts.values()) if is_same(identities[first], own)
        )
        firsts[serial] = next(earlier, serial)
    return firsts
