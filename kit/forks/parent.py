"""The parent's side of a helper process, see `kit.forks.server`.

The parent starts it early, so that it imports while the parent works. Without a helper, every task
is a process that does its own imports.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from kit import workers
from kit.forks.server import MAX_READ, ORPHANED, THREADS, Message
from kit.workers import POLL_SECONDS, ChildTask

END_SECONDS = 10.0  # timeout for a helper to end its forks


def can_fork() -> bool:
    """Return whether this system has fork(2) and lists threads."""
    return hasattr(os, "fork") and THREADS.is_dir()


class Helper:
    """The parent's side of the helper; leaving the block ends the helper and its forks.

    Args:
        modules: to import in the helper.
        log: file for the helper's output.
        environment: added to this process's own; some libraries read it when they are imported.
    """

    def __init__(self, modules: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.ready = False
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""
        self._codes: dict[int, int] = {}  # of the forks that ended
        self._requests = 0
        if not can_fork():
            return
        command = [sys.executable, "-m", "kit.forks.server", *modules]
        with suppress(OSError):
            self._process = workers.open_process(command, log, environment, subprocess.PIPE)
            assert self._process.stdout is not None
            os.set_blocking(self._process.stdout.fileno(), False)

    def __enter__(self) -> Helper:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def start(self, task: ChildTask, environment: Mapping[str, str]) -> workers.Child:
        """Start a task: as a fork if it runs a module and there is a helper, else as a process."""
        interpreter, *words = task.command
        if interpreter == sys.executable and words[:1] == ["-m"] and self._read():
            return _Fork(self, task, environment)
        return workers.start(task, environment)

    def request(self, task: ChildTask, environment: Mapping[str, str]) -> int:
        """Request a fork; return its number."""
        self._requests += 1
        message = {
            "id": self._requests,
            "module": task.command[2],
            "arguments": list(task.command[3:]),
            "log": str(task.log),
            "environment": {**os.environ, **environment},
        }
        assert self._process is not None
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # `poll` then returns the helper's exit code
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        return self._requests

    def poll(self, number: int) -> int | None:
        """Return the exit code of a fork, or of the helper if it has ended; None while it runs."""
        running = self._read()
        if number in self._codes or running:
            return self._codes.get(number)
        assert self._process is not None
        return self._process.wait() or ORPHANED

    def end(self) -> None:
        """End the helper and its forks."""
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        if self._read() and not self.ready:  # it would notice only after its imports
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(BrokenPipeError):
            process.stdin.close()
        deadline = time.monotonic() + END_SECONDS
        while self._read() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS / 5)
        process.kill()
        process.wait()
        process.stdout.close()

    def _read(self) -> bool:
        """Read the helper's messages; return False when it and all its forks have ended."""
        process = self._process
        if process is None or process.returncode is not None:
            return False
        assert process.stdout is not None
        with suppress(BlockingIOError):
            while chunk := os.read(process.stdout.fileno(), MAX_READ):
                *lines, self._unread = (self._unread + chunk).split(b"\n")
                for line in lines:
                    self._take(json.loads(line))
            process.wait()
            return False
        return True

    def _take(self, answer: Message) -> None:
        if "ready" in answer:
            self.ready = True
        else:
            self._codes[answer["id"]] = answer["code"]


class _Fork:
    """A task in a fork, or in a process if the helper ended before it was ready."""

    def __init__(self, helper: Helper, task: ChildTask, environment: Mapping[str, str]) -> None:
        self._helper, self._task, self._environment = helper, task, environment
        self._number = helper.request(task, environment)
        self._process: workers.Child | None = None

    def poll(self) -> int | None:
        """Return the exit code; None while it runs."""
        if self._process is None:
            code = self._helper.poll(self._number)
            if code is None or self._helper.ready:
                return code
            self._process = workers.start(self._task, self._environment)
        return self._process.poll()

    def end(self) -> None:
        """End it and the helper: callers end all tasks or none."""
        self._helper.end()
        if self._process is not None:
            self._process.end()
