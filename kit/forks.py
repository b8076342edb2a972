"""A helper process that imports modules once, and forks a child per task.

The parent starts it early, so that it imports while the parent works. A fork runs its task as
``python -m`` would, in its own session; its imports, output and failures do not affect others.
Forking is safe only in a process with one thread: the helper imports, runs nothing else, and
counts its threads before it reports that it is ready. Without a helper, every task is a process
that does its own imports.

The parent writes requests to the helper's standard input and reads answers from its standard
output, one line of JSON each:

    {"id": 0, "module": "kit.lower", "arguments": ["JOB.json"], "log": "FILE", "environment": {}}
    {"ready": true}
    {"id": 0, "code": -6}

The helper ends when that input is closed, and its forks end with the helper. Forks keep its output
open, so end of file means that all of them have ended.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

from kit import workers
from kit.workers import POLL_SECONDS, ChildTask

Message = dict[str, Any]  # of JSON
END_SECONDS = 10.0  # timeout for a helper to end its forks
_THREADS = Path("/proc/self/task")  # one entry per thread, including libraries'; Linux only
_ORPHANED = 1
_MAX_READ = 2**16


def can_fork() -> bool:
    """Return whether this system has fork(2) and lists threads."""
    return hasattr(os, "fork") and _THREADS.is_dir()


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
        command = [sys.executable, "-m", "kit.forks", *modules]
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
        return self._process.wait() or _ORPHANED

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
            while chunk := os.read(process.stdout.fileno(), _MAX_READ):
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


class _Watch(MetaPathFinder):
    """Ends this process at its next import after the parent has ended; finds no module.

    A thread that waits for the parent would make forking unsafe.
    """

    def __init__(self) -> None:
        self._poll = select.poll()
        self._poll.register(0, 0)  # no events, but POLLHUP is always reported

    def find_spec(self, *_: object) -> None:
        """End this process if the parent has ended."""
        if self._poll.poll(0):
            os._exit(_ORPHANED)


def _import(modules: Sequence[str]) -> None:
    watch = _Watch()
    sys.meta_path.insert(0, watch)
    gc.disable()
    for module in modules:
        importlib.import_module(module)
    gc.freeze()  # so that garbage collection in a fork does not copy the imported modules' memory
    sys.meta_path.remove(watch)


class _Forks:
    """The helper's side.

    Args:
        answers: descriptor of the pipe to the parent.
    """

    def __init__(self, answers: int) -> None:
        self._answers = answers
        self._life = os.pipe()  # forks read end of file from it when this process has ended
        self._running: dict[int, int] = {}  # numbers of requests by PID

    def serve(self) -> None:
        """Fork on request, until the parent ends or closes the input."""
        poll = select.poll()
        poll.register(0, select.POLLIN)
        unread = b""
        try:
            self._send({"ready": True})
            while True:
                if poll.poll(POLL_SECONDS * 1000 if self._running else None):
                    if not (chunk := os.read(0, _MAX_READ)):
                        return
                    *lines, unread = (unread + chunk).split(b"\n")
                    for line in lines:
                        request = json.loads(line)
                        self._running[self._fork(request)] = request["id"]
                self._reap()
        except BrokenPipeError:  # the parent has ended
            return
        finally:
            for process in self._running:
                _end(process)

    def _send(self, answer: Message) -> None:
        os.write(self._answers, json.dumps(answer).encode() + b"\n")

    def _reap(self) -> None:
        for process in list(self._running):
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                number = self._running.pop(process)
                self._send({"id": number, "code": os.waitstatus_to_exitcode(status)})

    def _fork(self, request: Message) -> int:
        process = os.fork()
        if process == 0:
            try:
                os.setsid()
                os.close(self._life[1])
                os.dup2(self._life[0], 0)  # see `kit.workers.end_with_parent`
                _run(request)
            finally:  # a fork must never continue as the helper
                os._exit(1)
        return process


def _end(process: int) -> None:
    for kill in (os.killpg, os.kill):  # it may not have its own process group yet
        with suppress(ProcessLookupError):
            kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


def _run(request: Message) -> None:
    """Run a module as ``python -m`` does, and end this process."""
    code: Any = 1
    try:
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        os.environ.clear()
        os.environ.update(request["environment"])
        gc.enable()
        sys.argv[1:] = request["arguments"]
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as exc:
        code = exc.code
        if not isinstance(code, int | None):
            sys.stderr.write(f"{code}\n")
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        # Skip destructors: some runtimes hang or crash in theirs.
        os._exit(code if isinstance(code, int) else int(code is not None))


def main(modules: Sequence[str]) -> int:
    """Import modules, then fork until the parent ends; return the exit code."""
    answers = os.dup(1)
    os.dup2(2, 1)  # libraries print to stdout, also from C
    _import(modules)
    if len(list(_THREADS.iterdir())) != 1:
        sys.stderr.write("a library started a thread when it was imported\n")
        return 1
    sys.stdout.flush()
    _Forks(answers).serve()
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(code)
