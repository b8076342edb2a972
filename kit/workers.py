"""Run tasks in child processes, which end with this process, within cores and memory."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from kit import logs
from kit.errors import BuildError

POLL_SECONDS = 0.05
_STDIN = 0
_ORPHANED = 1


@dataclass(frozen=True)
class ChildTask:
    """A command, its name in messages, and the file for its output."""

    name: str
    command: Sequence[str]
    log: Path


class Child(Protocol):
    """A running task."""

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while it runs."""

    def end(self) -> None:
        """End it and all its own children."""


StartChild = Callable[[ChildTask, Mapping[str, str]], Child]


def count_cores() -> int:
    """Return the number of cores that this process may use; a container can restrict it."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def choose_width(tasks: int, bytes_each: int) -> int:
    """Return how many tasks to run in parallel, limited by cores and free memory."""
    by_memory = psutil.virtual_memory().available // bytes_each
    return max(1, min(tasks, count_cores(), int(by_memory)))


class Pool:
    """Runs tasks in parallel; leaving the block kills those that still run.

    Args:
        tasks: to run, in this order.
        at_once: maximum number of children in parallel.
        environment: added to this process's own.
        begin: starts a task; by default `start`.
    """

    def __init__(
        self,
        tasks: Iterable[ChildTask],
        at_once: int,
        environment: Mapping[str, str],
        begin: StartChild | None = None,
    ) -> None:
        self._waiting = list(tasks)
        self._at_once = at_once
        self._environment = environment
        self._begin = begin or start
        self._running: list[tuple[ChildTask, Child]] = []

    def __enter__(self) -> Pool:
        self._fill()
        return self

    def __exit__(self, *_: object) -> None:
        for _task, child in self._running:
            child.end()

    def wait(self, done: Callable[[str], None]) -> dict[str, BuildError]:
        """Run all tasks to their end.

        Args:
            done: callback; takes the name of a task that succeeded.

        Returns:
            The errors of failed tasks, by name.
        """
        errors: dict[str, BuildError] = {}
        while self._waiting or self._running:
            self._fill()
            time.sleep(POLL_SECONDS)
            for entry in list(self._running):
                task, child = entry
                if (code := child.poll()) is None:
                    continue
                self._running.remove(entry)
                error = _error_of(task, code)
                logs.add_file(task.log)
                if error is None:
                    done(task.name)
                else:
                    errors[task.name] = error
        return errors

    def _fill(self) -> None:
        while self._waiting and len(self._running) < self._at_once:
            task = self._waiting.pop(0)
            self._running.append((task, self._begin(task, self._environment)))


def end_with_parent() -> None:
    """End this process when its parent ends, which closes the pipe at its standard input."""

    def watch() -> None:
        # Not through sys.stdin: a lock that is held by a thread aborts the interpreter's shutdown.
        while os.read(_STDIN, 1):
            pass
        os._exit(_ORPHANED)

    threading.Thread(target=watch, daemon=True).start()


class _Process:
    """A task in its own process."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid

    def poll(self) -> int | None:
        """Return the exit code; None while it runs."""
        return self._process.poll()

    def end(self) -> None:
        """Kill its process group."""
        if self._process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()


def start(task: ChildTask, environment: Mapping[str, str]) -> _Process:
    """Start a task in its own process."""
    return _Process(open_process(task.command, task.log, environment))


def open_process(
    command: Sequence[str], log: Path, environment: Mapping[str, str], output: int | None = None
) -> subprocess.Popen[bytes]:
    """Start a command that ends with this process; see `end_with_parent`.

    Args:
        command: program and arguments.
        log: file for stderr, and for stdout unless that is a pipe.
        environment: added to this process's own.
        output: `subprocess.PIPE` to read its stdout from a pipe.
    """
    with log.open("wb") as file:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # see `end_with_parent`
            stdout=file if output is None else output,
            stderr=file if output is not None else subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,  # Ctrl-C reaches the parent only, which then kills the group
        )


def _error_of(task: ChildTask, code: int) -> BuildError | None:
    """Return the error for a child's exit code, with the last line of its log; None for 0."""
    if code == 0:
        return None
    how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    tail = task.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    last = f": {tail[0]}" if tail else ""
    hint = (
        "signal 9 is usually too little memory"
        if code == -signal.SIGKILL
        else ("this combination of model and format is not supported; try another --format")
    )
    return BuildError(f"lowering to {task.name} {how}{last}", hint)
