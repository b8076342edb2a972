"""One kit at a time on a device: a lock there, kept alive by its owner.

It is a folder, because making one is atomic everywhere. Its owner writes the device's
uptime into it with every poll, and while files travel; a lock whose time is too old, or lies
ahead because the device was started anew, is stale, and so is one whose owner has ended on
this machine. Uptime, and not the time of day: that one may jump. An owner that was silent for
too long, like a machine that slept, finds out with its next sign of life, and stops.
"""

from __future__ import annotations

import getpass
import os
import platform
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from kit.devices import parsing
from kit.devices._limits import shorten
from kit.devices.storage import ROOT, ask
from kit.devices.transport import Transport, quote
from kit.errors import DeviceError

LOCK = f"{ROOT}/lock"
STALE_SECONDS = 90.0
_LIVE: set[str] = set()  # tokens of this process
_LOOK_AGAIN = 1.0  # seconds; who takes a lock makes it whole in milliseconds
_GONE, _TRIES = "gone", 10  # what a lock that vanished is answered by, and how often
BEAT_SECONDS = 10.0  # between two signs of life while files travel
_BEAT = f"read u _ </proc/uptime && echo $u >{LOCK}/beat"
_TAKEN = "==kit:lock taken=="
_MAX_PID = 2**31 - 1


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
        f"{transport.serial!r} is in use by another kit ({shorten(held.owner)})",
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


def ask_if_ours(transport: Transport, token: str, script: str, timeout: float = 20.0) -> str:
    """Run a script after a sign of life, which sets ``$u`` to the uptime.

    See `kit.devices.storage.ask`.

    No program is started for the sign, so that it can be part of every poll.

    Raises:
        DeviceError: the lock is not ours any more; then the script does not run.
    """
    # A full storage may refuse the sign, which does not make the lock another's.
    ours = f'{{ read o _ <{LOCK}/owner; }} 2>/dev/null && [ "$o" = {token} ]'
    taken = f"{{ echo {_TAKEN}; cat {LOCK}/owner 2>/dev/null; exit 0; }}"
    text = ask(transport, f"{ours} || {taken}; {{ {_BEAT}; }} 2>/dev/null; {script}", timeout)
    if text.startswith(_TAKEN):
        raise _lost(transport.serial, text.removeprefix(_TAKEN).strip())
    return text


def pulse(transport: Transport, token: str) -> Callable[[], None]:
    """Return what gives a sign of life when it is called, at most every `BEAT_SECONDS`.

    It raises what `ask_if_ours` does.
    """
    last = time.monotonic()

    def beat() -> None:
        nonlocal last
        if time.monotonic() - last >= BEAT_SECONDS:
            ask_if_ours(transport, token, "true")
            last = time.monotonic()

    return beat


def _lost(serial: str, owner: str) -> DeviceError:
    by = f"by another kit ({shorten(owner.partition(' ')[2])})" if owner else "away by hand"
    return DeviceError(
        f"{serial!r} was taken {by} during the measurement",
        f"measure again when it is free; who gives no sign of life for {STALE_SECONDS:g} s, like "
        "a machine that sleeps, loses the device",
    )


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
    # A lock that was there and is gone a moment later was broken or given back: try again. Where
    # no folder can be made, the second `mkdir` tells why, like a read-only storage.
    probe = f"{LOCK}.{token}"
    script = (
        f"mkdir -p {ROOT} && if mkdir {LOCK} 2>/dev/null; "
        f"then {_BEAT} && echo {owner} >{LOCK}/owner && echo taken "
        f"|| {{ rm -rf {LOCK}; exit 1; }}; "
        f"elif [ -d {LOCK} ]; "
        f"then cat {LOCK}/owner 2>/dev/null; echo; cat {LOCK}/beat 2>/dev/null; echo; "
        f"cat /proc/uptime; "
        f"elif [ -e {LOCK} ]; then mkdir {LOCK}; "
        f"else mkdir {probe} && rmdir {probe} && echo {_GONE}; fi"
    )
    text = ask(transport, script)
    for _ in range(_TRIES):
        if text.split() != [_GONE]:
            break
        text = ask(transport, script)
    if text.split() == ["taken"] or text.startswith(token):  # ours, and the answer was lost
        return None
    return _held(text)


def _held(text: str) -> Held:
    """Return what owner, beat and uptime say, a line each."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    try:
        token, _, owner = lines[-3].partition(" ")
        now, beat = parsing.decimal(lines[-1]), parsing.decimal(lines[-2])
    except IndexError:
        now = beat = None
    if now is None or beat is None:
        return Held("nobody", -1.0, None)
    return Held(owner, now - beat, token)


def _break(transport: Transport, held: Held, aside: str) -> None:
    """Remove a stale lock, unless another kit was faster and has a fresh one there now.

    Who breaks a lock makes a folder in it, which only one can. Without that, a kit that looked
    at the stale lock could move away the fresh one which another kit put there since. A claim
    whose kit was stopped in the middle is ignored after a while.
    """
    claim = f"{LOCK}/breaking"
    forgotten = f"rmdir {claim} 2>/dev/null; " if held.age > 2 * STALE_SECONDS else ""
    broken = f"{{ [ ! -s {LOCK}/owner ] || ! grep -q '^[0-9]' {LOCK}/beat 2>/dev/null; }}"
    same = f"grep -q {quote([held.token])} {LOCK}/owner 2>/dev/null" if held.token else broken
    ask(
        transport,
        f"{forgotten}mkdir {claim} 2>/dev/null && {{ {same} && mv {LOCK} {aside} 2>/dev/null "
        f"|| rmdir {claim}; }}; rm -rf {aside}",
    )


def _dead(held: Held) -> bool:
    """Return whether it belongs to a process of this machine and user that has ended."""
    import psutil

    place, _, number = held.owner.rpartition(", process ")
    pid = parsing.whole(number)
    if pid is None or not 0 < pid <= _MAX_PID or place != _here():
        return False
    return held.token not in _LIVE if pid == os.getpid() else not psutil.pid_exists(pid)


def _here() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container without a user database
        user = str(os.getuid())
    return f"{user}@{platform.node()}"
