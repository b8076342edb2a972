"""A helper process that imports modules once, and forks a child per task.

A fork runs its task as ``python -m`` would, in its own session; its imports, output and failures do
not affect others. Forking is safe only in a process with one thread: the helper imports, runs
nothing else, and counts its threads before it reports that it is ready.

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
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

from kit.workers import POLL_SECONDS

Message = dict[str, Any]  # of JSON
THREADS = Path("/proc/self/task")  # one entry per thread, including libraries'; Linux only
ORPHANED = 1
MAX_READ = 2**16


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
            os._exit(ORPHANED)


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
                    if not (chunk := os.read(0, MAX_READ)):
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
    if len(list(THREADS.iterdir())) != 1:
        sys.stderr.write("a library started a thread when it was imported\n")
        return 1
    sys.stdout.flush()
    _Forks(answers).serve()
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(code)
