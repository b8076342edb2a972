"""Child processes that are never left behind, as many at once as the machine carries."""

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
    """A task that was started."""

    def poll(self) -> int | None:
        """Return the exit code, minus the number of a signal; None while it runs."""

    def end(self) -> None:
        """End it and all that it started."""


Start = Callable[[ChildTask, Mapping[str, str]], Child]


def width(tasks: int, bytes_each: int) -> int:
    """Return how many tasks to run at once: cores, and free memory, set the limit."""
    by_memory = psutil.virtual_memory().available // bytes_each
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(tasks, cores or 1, int(by_memory)))


class Pool:
    """Runs tasks in parallel; leaving the block kills those that still run.

    Args:
        tasks: to run, in this order.
        at_once: maximum number of children at a time.
        environment: added to this process's own.
        begin: starts a task; see `start`.
    """

    def __init__(
        self,
        tasks: Iterable[ChildTask],
        at_once: int,
        environment: Mapping[str, str],
        begin: Start | None = None,
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
        """Run waiting tasks, and return when all have ended.

        Args:
            done: gets the name of each that succeeded.

        Returns:
            The error of each that failed, by its name.
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
    """End this child when its parent is gone: its standard input, a pipe, ends then."""

    def watch() -> None:
        # Not through sys.stdin: its lock, held here, would abort the interpreter's end.
        while os.read(_STDIN, 1):
            pass
        os._exit(_ORPHANED)

    threading.Thread(target=watch, daemon=True).start()


class _Process:
    """A task in a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid

    def poll(self) -> int | None:
        """Return the exit code; None while it runs."""
        return self._process.poll()

    def end(self) -> None:
        """Kill its group."""
        if self._process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()


def start(task: ChildTask, environment: Mapping[str, str]) -> _Process:
    """Start a task in a process of its own."""
    return _Process(open_process(task.command, task.log, environment))


def open_process(
    command: Sequence[str], log: Path, environment: Mapping[str, str], output: int | None = None
) -> subprocess.Popen[bytes]:
    """Start a command that ends with this process; see `end_with_parent`.

    Args:
        command: its words.
        log: file for what it prints, but for its output if that is a pipe.
        environment: added to this process's own.
        output: `subprocess.PIPE` for a pipe.
    """
    with log.open("wb") as file:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # see `end_with_parent`
            stdout=file if output is None else output,
            stderr=file if output is not None else subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,  # Ctrl-C reaches the parent only, which then ends the group
        )


def _error_of(task: ChildTask, code: int) -> BuildError | None:
    """Return what a child's exit code means, with the end of what it printed."""
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
