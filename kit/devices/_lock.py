"""One kit at a time on a device: a lock there, kept alive by its owner.

It is a folder, because making one is atomic everywhere. Its owner writes the device's
uptime into it with every poll; a lock whose time is too old, or lies ahead because the
device was started anew, is stale. Uptime, and not the time of day: that one may jump.
"""

from __future__ import annotations

import getpass
import os
import platform
import secrets
from dataclasses import dataclass

from kit.devices._store import ROOT, ask
from kit.devices._transport import Transport, quote
from kit.errors import DeviceError

LOCK = f"{ROOT}/lock"
STALE_SECONDS = 90.0
# Part of every poll: one write, no program is started.
BEAT = f"read u _ </proc/uptime && echo $u >{LOCK}/beat"


@dataclass(frozen=True)
class Held:
    """A lock that is there: who has it, and how old its last sign of life is, in seconds."""

    owner: str
    age: float

    @property
    def stale(self) -> bool:
        """Whether its owner is gone, or the device was started anew."""
        return not 0 <= self.age <= STALE_SECONDS


def take(transport: Transport) -> str:
    """Take the lock and return the token that it is given back with.

    Raises:
        DeviceError: another kit holds it.
    """
    token = secrets.token_hex(8)
    held = _try(transport, token)
    if held is not None and held.stale:
        aside = f"{LOCK}.{token}"  # a rename has one winner
        ask(transport, f"mv {LOCK} {aside} 2>/dev/null; rm -rf {aside}")
        held = _try(transport, token)
    if held is None:
        return token
    raise DeviceError(
        f"{transport.serial!r} is in use by another kit ({held.owner})",
        "wait until it is done; a lock whose owner is gone expires by itself after "
        f"{STALE_SECONDS:g} s",
    )


def give_back(transport: Transport, token: str) -> None:
    """Remove the lock if it is still ours."""
    ask(transport, f"grep -q {token} {LOCK}/owner 2>/dev/null && rm -rf {LOCK}; true")


def holds(transport: Transport, token: str) -> bool:
    """Return whether the lock is still ours."""
    return "yes" in ask(transport, f"grep -q {token} {LOCK}/owner 2>/dev/null && echo yes; true")


def _try(transport: Transport, token: str) -> Held | None:
    """Return None if the lock is ours now, or else who has it."""
    owner = quote([f"{token} {_me()}"])
    text = ask(
        transport,
        f"mkdir -p {ROOT} && if mkdir {LOCK} 2>/dev/null; "
        f"then {BEAT}; echo {owner} >{LOCK}/owner; echo taken; "
        f"else cat {LOCK}/owner 2>/dev/null; echo; cat {LOCK}/beat 2>/dev/null; echo; "
        "cat /proc/uptime; fi",
    )
    if text.split() == ["taken"] or text.startswith(token):  # ours, and the answer was lost
        return None
    return _held(text)


def _held(text: str) -> Held:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    try:
        now = float(lines[-1].split()[0])
        beat = float(lines[-2])
    except (ValueError, IndexError):  # taken this moment, or broken off while it was
        return Held("just starting", 0.0) if len(lines) > 1 else Held("nobody", -1.0)
    owner = lines[0].partition(" ")[2] if len(lines) > 2 else "unknown"
    return Held(owner, now - beat)


def _me() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container without a user database
        user = str(os.getuid())
    return f"{user}@{platform.node()}, process {os.getpid()}"
