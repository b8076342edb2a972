"""A lock on a device, so that one kit at a time uses it.

It is a folder, because mkdir is atomic everywhere. Its owner writes the device's uptime into it
as a heartbeat, with every poll and during transfers. A lock is stale if its heartbeat is too
old, or in the future because the device was restarted, or if its owner was a process of this
machine that has ended. Uptime is used because the time of day may jump. An owner that was
silent for too long, like a machine that slept, detects the loss with its next heartbeat.
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
RECHECK_SECONDS = 1.0  # seconds; completing a new lock takes milliseconds
_GONE, _TRIES = "gone", 10  # the answer for a lock that vanished, and how often to retry
BEAT_SECONDS = 10.0  # between heartbeats during transfers
_BEAT = f"read u _ </proc/uptime && echo $u >{LOCK}/beat"
_TAKEN = "==kit:lock taken=="
_MAX_PID = 2**31 - 1


@dataclass(frozen=True)
class Held:
    """A lock of another kit.

    Attributes:
        owner: for messages.
        age: of its last heartbeat, in seconds.
        token: of its owner; None if the lock is incomplete.
    """

    owner: str
    age: float
    token: str | None

    @property
    def stale(self) -> bool:
        """Whether its heartbeat is too old, or the device was restarted."""
        return not 0 <= self.age <= STALE_SECONDS


def take(transport: Transport) -> str:
    """Acquire the lock and return the token to release it with.

    Raises:
        DeviceError: another kit holds it.
    """
    token = secrets.token_hex(8)
    _LIVE.add(token)  # before it is on the device, where another thread may read it
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
    """Return None if the lock was acquired, or else its holder; breaks a stale lock."""
    held = _try(transport, token)
    if held is not None and held.token is None:  # another kit is acquiring it, or was killed
        time.sleep(RECHECK_SECONDS)
        held = _try(transport, token)
    if held is not None and (held.stale or _dead(held)):
        break_lock(transport, held, f"{LOCK}.{token}")
        held = _try(transport, token)
    return held


def ask_if_ours(transport: Transport, token: str, script: str, timeout: float = 20.0) -> str:
    """Run a script after a heartbeat, which sets ``$u`` to the uptime; see `storage.ask`.

    The heartbeat starts no program, so it is cheap enough for every poll.

    Raises:
        DeviceError: we no longer hold the lock; then the script does not run.
    """
    # The heartbeat may fail on a full storage, though we still hold the lock.
    ours = f'{{ read o _ <{LOCK}/owner; }} 2>/dev/null && [ "$o" = {token} ]'
    report_owner = f"{{ echo {_TAKEN}; cat {LOCK}/owner 2>/dev/null; exit 0; }}"
    text = ask(
        transport, f"{ours} || {report_owner}; {{ {_BEAT}; }} 2>/dev/null; {script}", timeout
    )
    if text.startswith(_TAKEN):
        raise _lost(transport.serial, text.removeprefix(_TAKEN).strip())
    return text


def pulse(transport: Transport, token: str) -> Callable[[], None]:
    """Return a function that sends a heartbeat if the last one is `BEAT_SECONDS` old.

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
        f"measure again when it is free; a kit that is silent for {STALE_SECONDS:g} s, for example "
        "because its machine sleeps, loses the device",
    )


def forget(token: str) -> None:
    """Record that this process no longer uses a lock, which may still be on the device."""
    _LIVE.discard(token)


def give_back(transport: Transport, token: str) -> None:
    """Release the lock if we still hold it."""
    ask(transport, f"grep -q {token} {LOCK}/owner 2>/dev/null && rm -rf {LOCK}; true")


def holds(transport: Transport, token: str) -> bool:
    """Return whether we still hold the lock."""
    return "yes" in ask(transport, f"grep -q {token} {LOCK}/owner 2>/dev/null && echo yes; true")


def _try(transport: Transport, token: str) -> Held | None:
    """Try once to acquire the lock; return None on success, or else its holder."""
    owner = quote([f"{token} {describe_here()}, process {os.getpid()}"])
    # A lock that vanished in between was broken or released: try again, even if another kit has
    # made a new one since. If no folder can be made, a second `mkdir` reports why, such as
    # read-only storage. The owner is written only if there is none (`set -C`): if this took so
    # long that others broke the lock as incomplete, the lock there now is another kit's.
    probe = f"{LOCK}.{token}"
    state = (
        f"cat {LOCK}/owner 2>/dev/null; echo; cat {LOCK}/beat 2>/dev/null; echo; cat /proc/uptime"
    )
    script = (
        f"mkdir -p {ROOT} && if mkdir {LOCK} 2>/dev/null; "
        f"then if {_BEAT} && (set -C; echo {owner} >{LOCK}/owner); then echo taken; "
        f"elif [ -s {LOCK}/owner ]; then {state}; "
        f"else rm -rf {LOCK}; exit 1; fi; "
        f"elif [ -e {LOCK} ] && [ ! -d {LOCK} ]; then mkdir {LOCK}; "
        f"elif [ -d {LOCK} ]; then {state}; "
        f"else mkdir {probe} && rmdir {probe} && echo {_GONE}; fi"
    )
    text = ask(transport, script)
    for _ in range(_TRIES):
        if text.split() != [_GONE]:
            break
        text = ask(transport, script)
    if text.split() == ["taken"] or text.startswith(token):  # ours, and the answer was lost
        return None
    return parse_held(text)


def parse_held(text: str) -> Held:
    """Parse owner, heartbeat and uptime, a line each."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    try:
        token, _, owner = lines[-3].partition(" ")
        now, beat = parsing.parse_decimal(lines[-1]), parsing.parse_decimal(lines[-2])
    except IndexError:
        now = beat = None
    if now is None or beat is None:
        return Held("nobody", -1.0, None)
    return Held(owner, now - beat, token)


def break_lock(transport: Transport, held: Held, aside: str) -> None:
    """Remove a stale lock, unless another kit has replaced it by its own meanwhile.

    To break a lock, a kit first makes a folder in it, its claim, which only one kit can. Without
    the claim, a kit that has read the stale lock could remove a new one that another kit made
    since. The claim is named after the current period of 90 seconds, so that the claim of a killed
    kit expires. If two kits make claims in successive periods, one sees the other's or both do,
    because each makes its own before it looks.

    Another kit may still be making a lock that has no owner, so it is broken only if it is
    unchanged after a second under the claim.
    """
    if held.token:
        same = f"grep -q {quote([held.token])} {LOCK}/owner 2>/dev/null"
    else:
        broken = f"{{ [ ! -s {LOCK}/owner ] || ! grep -q '^[0-9]' {LOCK}/beat 2>/dev/null; }}"
        same = f"{broken} && sleep {RECHECK_SECONDS:g} && [ -d $claim ] && {broken}"
    others = " && ".join(f"[ ! -e {LOCK}/breaking-$((p {step} 1)) ]" for step in "-+")
    ask(
        transport,
        f"read now _ </proc/uptime; p=$((${{now%.*}} / {STALE_SECONDS:.0f})); "
        f"claim={LOCK}/breaking-$p; mkdir $claim 2>/dev/null && {{ {others} && {same} "
        f"&& mv {LOCK} {aside} 2>/dev/null || rmdir $claim; }}; rm -rf {aside}",
    )


def _dead(held: Held) -> bool:
    """Return whether it belongs to a process of this machine and user that has ended."""
    import psutil

    place, _, number = held.owner.rpartition(", process ")
    pid = parsing.parse_integer(number)
    if pid is None or not 0 < pid <= _MAX_PID or place != describe_here():
        return False
    return held.token not in _LIVE if pid == os.getpid() else not psutil.pid_exists(pid)


def describe_here() -> str:
    """Return user and host of this process, as a lock names its owner."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container without a user database
        user = str(os.getuid())
    return f"{user}@{platform.node()}"
