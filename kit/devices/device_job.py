"""A detached command on a device that kit polls.

The connection may break meanwhile. Every request is idempotent: the command is started once,
and lines are counted from the beginning of its output.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from kit.devices import condition, parsing
from kit.devices._limits import LINE_BYTES, LOOK_BYTES, MIB
from kit.devices.transport import quote
from kit.errors import DeviceError, RunError
from kit.results.context import Condition

_MARK = "==kit:job"
_KILLED = 9
MIN_PAUSE, MAX_PAUSE = 0.05, 2.0  # seconds between polls, which load the device
_PAUSE_SHARE = 0.2  # pause between polls over elapsed time: bounds the delay in seeing the end
CONDITION_SECONDS = 5.0
_STDERR_BYTES = 8192
# Limits the output and reports whether there is more. Android 8 has no `head -c`, and `dd` may
# read less than a block from a pipe.
_BLOCK = 4096
_MORE = f"\n{_MARK} more\n"
_CUT = (
    f"{{ dd bs={_BLOCK} count={LOOK_BYTES // _BLOCK} 2>/dev/null; "
    f"[ $(dd bs=1 count=1 2>/dev/null | wc -c) -eq 0 ] || {{ echo; echo {_MARK} more; }}; }}"
)
# Process ids are reused after a restart of the device.
_BOOT = "cat /proc/sys/kernel/random/boot_id 2>/dev/null"


class Ask(Protocol):
    """A function that runs a script on the device, see `locking.ask_if_ours`."""

    def __call__(self, script: str, timeout: float = 20.0) -> str:
        """Return its stdout; ``$u`` is the uptime."""


class AdbJob:
    """A command in a folder of its own: ``out``, ``err``, ``pid``, and ``rc`` at the end.

    Args:
        ask: over a transport that retries, see `kit.devices.retry`.
        serial: of the device, for messages.
        folder: on the device, for this job only.
        command: program and arguments.
        environment: variables to add.
        began: uptime in seconds that conditions are relative to.

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
        self._uptime = began  # at the last poll
        self._lines, self._started = 0, time.monotonic()
        self._sampled = self._started
        self.conditions: list[Condition] = []
        self.pid = start_job(ask, serial, folder, command, environment)

    silent_seconds = 0.0

    def poll(self) -> tuple[list[str], int | None]:
        """Return complete lines since the last call, and the exit code or None.

        Raises:
            RunError: a line is longer than any runner's.
            DeviceError: another kit has taken the device.
            DeviceLost: the device was restarted, or see `Transport`.
        """
        due = time.monotonic() - self._sampled > CONDITION_SECONDS
        text = self._ask(self._poll_script(due), timeout=30)
        head, _, output = text.partition(f"{_MARK} out\n")
        self._check_restart(head)
        if due:
            self._sampled = time.monotonic()
            sample = condition.parse(head, self._began)
            self.conditions += [sample] if sample else []
        is_cut = output.endswith(_MORE)
        *lines, rest = output.removesuffix(_MORE).split("\n")
        self._lines += len(lines)
        if not lines and len(rest.encode()) > LINE_BYTES:
            raise make_length_error()
        return lines, None if is_cut else self._code(head)

    def wait(self, idle: float = 0.0) -> None:
        """Wait until the next poll, with increasing pauses.

        There is no poll while no output is expected: polls slow down the samples.
        """
        passed = time.monotonic() - self._started
        pause = max(MIN_PAUSE, _PAUSE_SHARE * passed, idle)
        time.sleep(min(pause, MAX_PAUSE))

    def stderr(self) -> str:
        """Return the last 8 KiB of stderr."""
        return self._ask(f"tail -c {_STDERR_BYTES} {self._folder}/err 2>/dev/null; true")

    def kill(self) -> None:
        """Kill the command and its children; do nothing if it, or the device, is gone."""
        with suppress(DeviceError):  # the next kit on this device kills leftover jobs
            self._ask(f"{_end(self._folder)}; true")

    def _poll_script(self, with_condition: bool) -> str:
        script = f"{condition.SCRIPT}; " if with_condition else ""
        return (
            f"cd {self._folder} && {{ echo {_MARK} up $u; {script}"
            # The order matters: a dead process has written its exit code, or never will, and
            # there is no output after the exit code.
            f"kill -0 {self.pid} 2>/dev/null && echo {_MARK} alive; "
            f"echo {_MARK} rc $(cat rc 2>/dev/null); "
            f"echo {_MARK} out; tail -n +{self._lines + 1} out | {_CUT}; }}"
        )

    def _check_restart(self, head: str) -> None:
        """Tell a job that ended with a restart of the device from one that was killed."""
        match = re.search(rf"^{_MARK} up (\S{{1,40}})", head, re.MULTILINE)
        uptime = parsing.parse_decimal(match[1]) if match else None
        if uptime is not None:
            condition.check_restart(self._serial, uptime, self._uptime)
            self._uptime = uptime

    def _code(self, head: str) -> int | None:
        match = re.search(rf"^{_MARK} rc ([0-9]{{1,5}})", head, re.MULTILINE)
        if match:
            code = int(match[1])
            return 128 - code if code > 128 else code  # shells add 128 to a signal's number
        return None if f"{_MARK} alive" in head else -_KILLED


def end_jobs(folders: str) -> str:
    """Return a shell script that kills the jobs that run in folders, and their children.

    It waits for jobs that have not written their process id yet: kit can be interrupted, or
    lose the device, right after it started one.
    """
    return (
        f"for j in {folders}/job-*; do n=0; "
        "while [ -e $j/out ] && [ ! -s $j/pid ] && [ $n -lt 10 ]; "
        f"do sleep 0.1; n=$((n+1)); done; {_end('$j')}; done"
    )


def _end(folder: str) -> str:
    """Return a shell script that kills a job, unless the device was restarted since."""
    return (
        f"b=; {{ read p && read b; }} 2>/dev/null <{folder}/pid; "
        f'[ -s {folder}/pid ] && [ ! -e {folder}/rc ] && {{ [ -z "$b" ] || '
        f'[ "$b" = "$({_BOOT})" ]; }} && kill -9 -$p 2>/dev/null'
    )


def start_job(
    ask: Ask, serial: str, folder: str, command: Sequence[str], environment: Mapping[str, str]
) -> int:
    """Start a command, once even if this is retried, and return its process id.

    A broken connection ends the shell that runs the request, but no process in a session of its
    own. So the job itself claims its folder, in its own session.
    """
    variables = quote([f"{name}={value}" for name, value in environment.items()])
    script = (
        f'trap "" HUP; mkdir started 2>/dev/null || exit; '
        f"{{ echo $$; {_BOOT}; }} >pid.part; mv pid.part pid; "
        f"env {variables} {quote(command)} >out 2>err </dev/null; echo $? 1<>rc.part; mv rc.part rc"
    )
    text = ask(
        f"mkdir -p {folder} && cd {folder} && {{ [ -e started ] || "
        # Reserves space for the exit code, and fails if the storage is full. Appends, because
        # an earlier attempt may have started the job.
        "{ : >>out && : >>err && echo ... >>pid.part && echo ... >>rc.part || exit 1; "
        f"setsid sh -c {quote([script])} </dev/null >/dev/null 2>&1 & }}; }}; "
        "n=0; while [ ! -s pid ] && [ $n -lt 250 ]; do sleep 0.02; n=$((n+1)); done; cat pid",
    )
    number = parsing.parse_integer(text.strip().partition("\n")[0])
    if number is None or number <= 0:
        raise DeviceError(
            f"cannot start {command[0]} on {serial!r}: {text.strip()[:200]!r}",
            "check that its shell has `setsid`: Android 8 and newer have",
        )
    return number


def make_length_error() -> RunError:
    """Return the error for a line that is longer than any runner's."""
    return RunError(
        f"the runner prints a line of more than {LINE_BYTES // MIB} MiB",
        "use the runner that belongs to this kit; if you do, please report it",
    )
