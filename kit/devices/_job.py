"""A command on a device that runs on its own, and is asked how it fares.

The connection may break meanwhile. Every question can be asked twice: the command is
started once, and lines are counted from the beginning of its output.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from kit.devices import _condition, parsing
from kit.devices._limits import LINE_BYTES, LOOK_BYTES, MIB
from kit.devices.transport import quote
from kit.errors import DeviceError, RunError
from kit.results.schema import Condition

_MARK = "==kit:job"
_KILLED = 9
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0  # seconds; each look takes the device some time
_PAUSE_SHARE = 0.2  # of the time that passed: so late, at most, the end is seen
CONDITION_SECONDS = 5.0
_STDERR_BYTES = 8192
# Passes on so much and says if there is more. Android 8 has no `head -c`; of a pipe, `dd` may
# read less than a block.
_BLOCK = 4096
_MORE = f"\n{_MARK} more\n"
_CUT = (
    f"{{ dd bs={_BLOCK} count={LOOK_BYTES // _BLOCK} 2>/dev/null; "
    f"[ $(dd bs=1 count=1 2>/dev/null | wc -c) -eq 0 ] || {{ echo; echo {_MARK} more; }}; }}"
)
# Numbers of processes begin anew when a device does.
_BOOT = "cat /proc/sys/kernel/random/boot_id 2>/dev/null"


class Ask(Protocol):
    """What runs a script on the device while it is ours, see `kit.devices.locking`."""

    def __call__(self, script: str, timeout: float = 20.0) -> str:
        """Return its stdout; ``$u`` is the uptime."""


class AdbJob:
    """A command in a folder of its own: ``out``, ``err``, ``pid``, and ``rc`` at the end.

    Args:
        ask: over a transport that retries, see `kit.devices.retry`.
        serial: of the device, for messages.
        folder: on the device, for this job alone.
        command: words.
        environment: variables that are added.
        began: uptime in seconds that conditions count from.

    Raises:
        DeviceError: it cannot be started.
    """

    def __init__(
        self,
        ask: Ask,
        serial: str,
        folder: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        began: float,
    ) -> None:
        self._ask, self._serial, self._folder, self._began = ask, serial, folder, began
        self._uptime = began  # at the last look
        self._lines, self._started = 0, time.monotonic()
        self._sampled = self._started
        self.conditions: list[Condition] = []
        self.pid = _start(ask, serial, folder, command, environment)

    silent_seconds = 0.0

    def poll(self) -> tuple[list[str], int | None]:
        """Return complete lines since the last call, and the exit code or None.

        Raises:
            RunError: a line is longer than any runner's.
            DeviceError: another kit has taken the device.
            DeviceLost: the device was started anew meanwhile, or see `Transport`.
        """
        due = time.monotonic() - self._sampled > CONDITION_SECONDS
        text = self._ask(self._question(due), timeout=30)
        head, _, output = text.partition(f"{_MARK} out\n")
        self._check_restart(head)
        if due:
            self._sampled = time.monotonic()
            condition = _condition.parse(head, self._began)
            self.conditions += [condition] if condition else []
        is_cut = output.endswith(_MORE)
        *lines, rest = output.removesuffix(_MORE).split("\n")
        self._lines += len(lines)
        if not lines and len(rest.encode()) > LINE_BYTES:
            raise too_long()
        return lines, None if is_cut else self._code(head)

    def wait(self, idle: float = 0.0) -> None:
        """Wait until it is time to ask again: soon at first, then less and less often.

        While the command is busy for some seconds anyway it is left alone: what a look costs
        the device, it costs the samples.
        """
        passed = time.monotonic() - self._started
        pause = max(_SHORTEST_PAUSE, _PAUSE_SHARE * passed, idle)
        time.sleep(min(pause, _LONGEST_PAUSE))

    def stderr(self) -> str:
        """Return the last 8 KiB of stderr."""
        return self._ask(f"tail -c {_STDERR_BYTES} {self._folder}/err 2>/dev/null; true")

    def kill(self) -> None:
        """End the command and all it started; harmless when it, or the device, is gone."""
        with suppress(DeviceError):  # the next kit that comes ends what was left
            self._ask(f"{_end(self._folder)}; true")

    def _question(self, with_condition: bool) -> str:
        condition = f"{_condition.SCRIPT}; " if with_condition else ""
        return (
            f"cd {self._folder} && {{ echo {_MARK} up $u; {condition}"
            # In this order: who is not alive has written its exit code, or never will, and
            # after the exit code no output comes.
            f"kill -0 {self.pid} 2>/dev/null && echo {_MARK} alive; "
            f"echo {_MARK} rc $(cat rc 2>/dev/null); "
            f"echo {_MARK} out; tail -n +{self._lines + 1} out | {_CUT}; }}"
        )

    def _check_restart(self, head: str) -> None:
        """Without this, a job that a restart ended would look as if it had been killed."""
        found = re.search(rf"^{_MARK} up (\S{{1,40}})", head, re.MULTILINE)
        uptime = parsing.decimal(found[1]) if found else None
        if uptime is not None:
            _condition.check_restart(self._serial, uptime, self._uptime)
            self._uptime = uptime

    def _code(self, head: str) -> int | None:
        found = re.search(rf"^{_MARK} rc ([0-9]{{1,5}})", head, re.MULTILINE)
        if found:
            code = int(found[1])
            return 128 - code if code > 128 else code  # a shell's way to tell a signal
        return None if f"{_MARK} alive" in head else -_KILLED


def end_jobs(folders: str) -> str:
    """Return the shell that ends the jobs which run in folders, and their children.

    One that was started a moment ago may not have told its number yet: kit can be
    interrupted, or lose the device, before it heard of its own job.
    """
    return (
        f"for j in {folders}/job-*; do n=0; "
        "while [ -e $j/out ] && [ ! -s $j/pid ] && [ $n -lt 10 ]; "
        f"do sleep 0.1; n=$((n+1)); done; {_end('$j')}; done"
    )


def _end(folder: str) -> str:
    """Return the shell that ends a job, if its number is still its own: not after a restart."""
    return (
        f"b=; {{ read p && read b; }} 2>/dev/null <{folder}/pid; "
        f'[ -s {folder}/pid ] && [ ! -e {folder}/rc ] && {{ [ -z "$b" ] || '
        f'[ "$b" = "$({_BOOT})" ]; }} && kill -9 -$p 2>/dev/null'
    )


def _start(
    ask: Ask, serial: str, folder: str, command: Sequence[str], environment: Mapping[str, str]
) -> int:
    """Start a command once, however often this is asked, and return its number.

    The connection may break in between and end the shell that was asked, but not what has a
    session of its own. So that is where the job claims its folder.
    """
    variables = quote([f"{name}={value}" for name, value in environment.items()])
    script = (
        f'trap "" HUP; mkdir started 2>/dev/null || exit; '
        f"{{ echo $$; {_BOOT}; }} >pid.part; mv pid.part pid; "
        f"env {variables} {quote(command)} >out 2>err </dev/null; echo $? 1<>rc.part; mv rc.part rc"
    )
    text = ask(
        f"mkdir -p {folder} && cd {folder} && {{ [ -e started ] || "
        # A full storage says so here; the exit code has its place, whatever the job fills.
        # Added, since a job may have started meanwhile that nobody heard of.
        "{ : >>out && : >>err && echo ... >>pid.part && echo ... >>rc.part || exit 1; "
        f"setsid sh -c {quote([script])} </dev/null >/dev/null 2>&1 & }}; }}; "
        "n=0; while [ ! -s pid ] && [ $n -lt 250 ]; do sleep 0.02; n=$((n+1)); done; cat pid",
    )
    number = parsing.whole(text.strip().partition("\n")[0])
    if number is None or number <= 0:
        raise DeviceError(
            f"cannot start {command[0]} on {serial!r}: {text.strip()[:200]!r}",
            "check that its shell has `setsid`: Android 8 and newer have",
        )
    return number


def too_long() -> RunError:
    """Return the error for a line that no runner prints."""
    return RunError(
        f"the runner prints a line of more than {LINE_BYTES // MIB} MiB",
        "use the runner that belongs to this kit; if you do, please report it",
    )
