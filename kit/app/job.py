"""A job that is one process of the app, polled over adb until its result file exists."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import suppress

from kit.app import contract, record
from kit.app.contract import FILES
from kit.app.record import AppRecord
from kit.bench.targets import ANSWER
from kit.devices.adb import AdbDevice
from kit.devices.adb_folder import AdbFolder
from kit.devices.storage import ask
from kit.devices.transport import quote
from kit.errors import DeviceError, RunError
from kit.results.context import Condition

GONE_SECONDS = 10.0  # timeout of a process that is not running
CONDITION_SECONDS = 5.0
MARGIN_SECONDS = 120.0  # in addition to the plan's limits, for loading and writing
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
_MARK = "==kit:app"
_RESULT = "result.json"
_LOG_LINES = 5
_ANSWER_SLACK = 1 << 20  # a wrong answer may be longer; it is checked later


class AppJob:
    """One process of the app, which reports all events at its end, in one file."""

    def __init__(
        self,
        device: AdbDevice,
        folder: AdbFolder,
        app_id: str,
        token: str,
        limit: float,
        look: Callable[[AppRecord], None],
        answer_bytes: int,
    ) -> None:
        self._device, self._folder, self._app_id = device, folder, app_id
        self._token, self._look = token, look
        self._answer_limit = answer_bytes + _ANSWER_SLACK
        self._seen = self._sampled = time.monotonic()
        self._was_alive = False
        self.conditions: list[Condition] = []
        self.silent_seconds, self._pause = limit + MARGIN_SECONDS, _FIRST_PAUSE

    def poll(self) -> tuple[list[str], int | None]:
        """Return the events as lines and an exit code, once the result exists.

        Raises:
            RunError: the result is of another app or bundle, its answer file does not match, or
                the app has no process and wrote no result.
        """
        output = self._device.ask(self._question(), timeout=60)
        now = time.monotonic()
        if f"{_MARK} ready" in output:
            return self._finished()
        if now - self._sampled > CONDITION_SECONDS:
            self._sampled = now
            self.conditions.append(self._device.condition())
        if f"{_MARK} alive" in output:
            self._seen, self._was_alive = now, True
        elif now - self._seen > GONE_SECONDS:
            raise self._gone_error()
        return [], None

    def _gone_error(self) -> RunError:
        how = "ended" if self._was_alive else "did not start"
        lines = [line for line in self.stderr().splitlines() if line.strip()][-_LOG_LINES:]
        log = "".join(f"\n  log: {line[:300]}" for line in lines)
        hint = f"unlock the screen and open it once: kit app run --app-id {self._app_id}"
        if self._device.ref.kind == "virtual":
            hint = "a virtual device runs no apps: measure on a phone or an Android emulator"
        return RunError(f"the app {self._app_id} {how}, and wrote no result{log}", hint)

    def _question(self) -> str:
        # A dead process has written its file, or never will; so pidof comes first. Android
        # denies the shell reading the app's files, but run-as may write to our stdout.
        source = f"{FILES}/{contract.RESULT.format(id=self._token)}"
        target = self._folder.path(_RESULT)
        return (
            f"pidof {self._app_id} >/dev/null && echo {_MARK} alive; "
            f"{quote(['run-as', self._app_id, 'cat', source])} >{target} 2>/dev/null "
            f"&& echo {_MARK} ready; true"
        )

    def _finished(self) -> tuple[list[str], int]:
        text = self._folder.read(_RESULT, record.MAX_BYTES).decode("utf-8", errors="replace")
        state = record.read(text)
        self._look(state)
        if state.answer is not None:
            self._fetch(contract.ANSWER.format(id=self._token), ANSWER, state.answer.sha256)
        return state.lines, state.code

    def _fetch(self, source: str, name: str, sha256: str) -> None:
        read_it = quote(["run-as", self._app_id, "cat", f"{FILES}/{source}"])
        ask(self._device.transport, f"{read_it} >{self._folder.path(name)}", timeout=60)
        if hashlib.sha256(self._folder.read(name, self._answer_limit)).hexdigest() != sha256:
            raise RunError(
                "the app's answer is not the one that its result names",
                "measure again; is the device's storage full?",
            )

    def wait(self, idle: float = 0.0) -> None:
        """Wait until the next poll, with increasing pauses."""
        time.sleep(self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def stderr(self) -> str:
        """Return the app's lines in the log, for example a crash."""
        tags = [f"{contract.LOG_TAG}:E", "AndroidRuntime:E", "DEBUG:F", "libc:F", "*:S"]
        done = self._device.transport.shell(
            quote(["logcat", "-d", "-t", "20", "-v", "brief", *tags])
        )
        return done.stdout if done.code == 0 else ""

    def kill(self) -> None:
        """Kill the process, and remove its result files; do nothing if it has ended."""
        left = [contract.RESULT.format(id=self._token), contract.ANSWER.format(id=self._token)]
        remove = quote(["run-as", self._app_id, "rm", "-f", *(f"{FILES}/{name}" for name in left)])
        with suppress(DeviceError):
            self._device.ask(
                f"{quote(['am', 'force-stop', self._app_id])}; {remove} 2>/dev/null; true"
            )
