"""One kit at a time on a device: a lock there, kept alive by its owner.

It is a folder, because making one is atomic everywhere. Its owner writes the device's
uptime into it with every poll; a lock whose time is too old, or lies ahead because the
device was started anew, is stale, and so is one whose owner has ended on this machine.
Uptime, and not the time of day: that one may jump.
"""

from __future__ import annotations

import getpass
import os
import platform
import re
import secrets
import time
from dataclasses import dataclass

from kit.devices._store import ROOT, ask
from kit.devices._transport import Transport, quote
from kit.errors import DeviceError

LOCK = f"{ROOT}/lock"
STALE_SECONDS = 90.0
_LIVE: set[str] = set()  # tokens of this process
_LOOK_AGAIN = 1.0  # seconds; who takes a lock makes it whole in milliseconds
# Part of every poll: one write, no program is started.
BEAT = f"read u _ </proc/uptime && echo $u >{LOCK}/beat"


@dataclass(frozen=True)
class Held:
    """A lock that is there.

    Attributes:
        owner: for messages.
        age: of its last sign of life, in seconds.
        token: of its owner; None while a lock is not whole.
    """

    owner: str
    age: float
    token: str | None

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
    _LIVE.add(token)  # before it is on the device, where another thread may read it at once
    try:
        held = _take(transport, token)
    except BaseException:
        _LIVE.discard(token)
        raise
    if held is None:
        return token
    _LIVE.discard(token)
    raise DeviceError(
        f"{transport.serial!r} is in use by another kit ({held.owner})",
        "wait until it is done; a lock whose owner is gone expires by itself after "
        f"{STALE_SECONDS:g} s",
    )


def _take(transport: Transport, token: str) -> Held | None:
    """Return None once the lock is ours, or else who has it."""
    held = _try(transport, token)
    if held is not None and held.token is None:  # a kit takes it this moment, or broke off
        time.sleep(_LOOK_AGAIN)
        held = _try(transport, token)
    if held is not None and (held.stale or _dead(held)):
        _break(transport, held, f"{LOCK}.{token}")
        held = _try(transport, token)
    return held


def forget(token: str) -> None:
    """Note that this process has no use for a lock any more, though it may still be there."""
    _LIVE.discard(token)


def give_back(transport: Transport, token: str) -> None:
    """Remove the lock if it is still ours."""
    ask(transport, f"grep -q {token} {LOCK}/owner 2>/dev/null && rm -rf {LOCK}; true")


def holds(transport: Transport, token: str) -> bool:
    """Return whether the lock is still ours."""
    return "yes" in ask(transport, f"grep -q {token} {LOCK}/owner 2>/dev/null && echo yes; true")


def _try(transport: Transport, token: str) -> Held | None:
    """Return None if the lock is ours now, or else who has it."""
    owner = quote([f"{token} {_here()}, process {os.getpid()}"])
    text = ask(
        transport,
        f"mkdir -p {ROOT} && if mkdir {LOCK} 2>/dev/null; "
        f"then {BEAT} && echo {owner} >{LOCK}/owner && echo taken || {{ rm -rf {LOCK}; exit 1; }}; "
        f"elif [ -d {LOCK} ]; "
        f"then cat {LOCK}/owner 2>/dev/null; echo; cat {LOCK}/beat 2>/dev/null; echo; "
        f"cat /proc/uptime; else mkdir {LOCK}; fi",  # for the reason, like a read-only storage
    )
    if text.split() == ["taken"] or text.startswith(token):  # ours, and the answer was lost
        return None
    return _held(text)


def _held(text: str) -> Held:
    """Return what owner, beat and uptime say, a line each."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    try:
        token, _, owner = lines[-3].partition(" ")
        return Held(owner, float(lines[-1].split()[0]) - float(lines[-2]), token)
    except (ValueError, IndexError):
        return Held("nobody", -1.0, None)


def _break(transport: Transport, held: Held, aside: str) -> None:
    """Remove a stale lock, unless another kit was faster and has a fresh one there now."""
    broken = f"{{ [ ! -s {LOCK}/owner ] || ! grep -q '^[0-9]' {LOCK}/beat 2>/dev/null; }}"
    same = f"grep -q {quote([held.token])} {LOCK}/owner 2>/dev/null" if held.token else broken
    ask(transport, f"{same} && mv {LOCK} {aside} 2>/dev/null; rm -rf {aside}")


def _dead(held: Held) -> bool:
    """Return whether it belongs to a process of this machine and user that has ended."""
    import psutil

    found = re.fullmatch(r"(.*), process (\d+)", held.owner)
    if found is None or found[1] != _here():
        return False
    pid = int(found[2])
    return held.token not in _LIVE if pid == os.getpid() else not psutil.pid_exists(pid)


def _here() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container without a user database
        user = str(os.getuid())
    return f"{user}@{platform.node()}"
