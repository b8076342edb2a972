"""Start kit's processes as forks of one that has imported torch, instead of importing it anew.

Importing torch, torchvision and ExecuTorch takes 4 to 8 CPU seconds, and the tests start hundreds
of processes: commands, helpers of builds, sessions, runners. `WarmPopen` replaces
`subprocess.Popen` in the tests: for ``python -m kit...`` it asks a template process for a fork,
which runs the module as ``python -m`` would, and for a worker of pytest-xdist one that runs what
execnet gives it. Everything else about the process is real: it has
its own PID, environment, folder, session, pipes and signals, is a child of the process that
started it, and starts its own processes the same way.

The template forks twice, and the process in between ends, so that the new process is adopted by
the nearest subreaper (prctl(2)), which the starting process is for that moment. Forking is safe
only with one thread, so each process forks a template of its own before it runs anything.

A test whose subject is the start of a process (what is imported, the interpreter's options) has
the mark ``cold_start``.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import io
import json
import os
import re
import runpy
import socket
import struct
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from execnet.gateway_io import popen_bootstrapline as WORKER

# What kit imports from others and is slow; none of them may start a thread.
MODULES = (
    "numpy",
    "PIL.Image",
    "pydantic",
    "rich.console",
    "torch",
    "torchvision",
    "torch.export._trace",
    "torch.ao.quantization.quantize_fx",
    "executorch.backends.xnnpack.partition.xnnpack_partitioner",
    "coremltools",
    "litert_torch",
)
_OPTIONS = {"-P": 1, "-u": 1, "-W": 2}  # of the interpreter, with their number of words
# Variables that the interpreter or a library reads when it starts.
_READ_AT_START = re.compile(r"(PYTHON(?!PATH$|UNBUFFERED$)|OMP_|MKL_|KMP_|LD_|LC_|LANG|COVERAGE_)")
_PR_SET_CHILD_SUBREAPER = 36
_HEADER = struct.Struct("!I")
_HERE = str(Path(__file__).parent)
TEMPLATE = "kit-template"  # name of the processes that others are forked from, as `ps` has it

_ColdPopen = subprocess.Popen
_lock = threading.Lock()
_libc = ctypes.CDLL(None, use_errno=True)


class _Templates:
    """The connection of this process to its template."""

    enabled = False
    connection: socket.socket | None = None


def enable(on: bool) -> None:
    """Switch warm processes on or off in this process."""
    _Templates.enabled = (
        on and sys.platform == "linux" and "COVERAGE_PROCESS_START" not in os.environ
    )


def install() -> None:
    """Replace `subprocess.Popen` in this process and in those that it starts warm."""
    subprocess.Popen = WarmPopen  # type: ignore[misc]


class WarmPopen(_ColdPopen):  # type: ignore[type-arg]
    """`subprocess.Popen`, whose processes of kit are forks of the template."""

    def _execute_child(  # type: ignore[no-untyped-def]
        self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest
    ) -> None:
        shell, pipes, session = rest[2], rest[3:9], rest[14]
        plain = executable is None and preexec_fn is None and close_fds and not pass_fds
        words = [] if shell or isinstance(args, str | bytes | os.PathLike) else args
        request = _request([*map(str, words)], cwd, env) if plain else None
        if request is not None and rest[10:14] == (None, None, None, -1) and rest[15] == -1:
            descriptors = [
                number if theirs == -1 else theirs
                for number, theirs in enumerate((pipes[0], pipes[3], pipes[5]))
            ]
            pid = _fork({**request, "session": bool(session)}, descriptors)
            if pid is not None:
                self.pid = pid
                self._child_created = True
                self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]
                return
        super()._execute_child(  # type: ignore[misc]
            args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest
        )


def _request(words: list[str], cwd: object, env: Mapping[str, str] | None) -> dict[str, Any] | None:
    """Return the request to a template; None for a process that must start cold."""
    environment = {str(k): str(v) for k, v in (os.environ if env is None else env).items()}
    if not _Templates.enabled or not words or words[0] != sys.executable:
        return None
    at = 1
    while at < len(words) and words[at] in _OPTIONS:
        at += _OPTIONS[words[at]]
    match words[at : at + 2]:
        case ["-m", module] if re.match(r"kit(\.|$)", module):
            pass
        case ["-c", code] if code == WORKER:
            pass
        case _:
            return None
    if _starting(environment) != _starting(os.environ):
        return None
    return {
        "options": words[1:at],
        "program": words[at : at + 2],
        "arguments": words[at + 2 :],
        "cwd": str(Path.cwd() if cwd is None else Path(os.fsdecode(cwd)).absolute()),
        "environment": environment,
    }


def _starting(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if _READ_AT_START.match(name)}


def _fork(request: dict[str, Any], descriptors: list[int]) -> int | None:
    """Return the PID of a new child of this process; None if there is no template."""
    with _lock:
        try:
            if _Templates.connection is None:
                _Templates.connection = _start_template()
            connection = _Templates.connection
            _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
            try:
                content = json.dumps(request).encode()
                socket.send_fds(connection, [_HEADER.pack(len(content))], descriptors)
                connection.sendall(content)
                (pid,) = _HEADER.unpack(_receive(connection, _HEADER.size))
            finally:
                _libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        except OSError:
            _Templates.enabled, _Templates.connection = False, None
            return None
    return int(pid)


def _start_template() -> socket.socket:
    ours, theirs = socket.socketpair()
    with theirs:
        _ColdPopen(
            [sys.executable, "-P", "-m", "warm_processes", str(theirs.fileno())],
            env={**os.environ, "PYTHONPATH": _HERE},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
    return ours


def _receive(connection: socket.socket, count: int) -> bytes:
    content = b""
    while len(content) < count:
        part = connection.recv(count - len(content))
        if not part:
            raise ConnectionError("the other side has ended")
        content += part
    return content


def _serve(connection: socket.socket) -> dict[str, Any]:
    """Fork on request until the other side ends; return the request in a fork."""
    while True:
        try:
            head, descriptors, _, _ = socket.recv_fds(connection, _HEADER.size, 3)
            if not head:
                os._exit(0)
            (size,) = _HEADER.unpack(head)
            content = _receive(connection, size)
        except OSError:
            os._exit(0)
        read, write = os.pipe()
        between = os.fork()
        if between == 0:
            process = os.fork()
            if process != 0:
                os.write(write, _HEADER.pack(process))
                os._exit(0)
            os.close(read)
            os.close(write)
            connection.close()
            for number, descriptor in enumerate(descriptors):
                os.dup2(descriptor, number)
            for descriptor in descriptors:
                os.close(descriptor)
            return dict(json.loads(content))
        os.close(write)
        answer = os.read(read, _HEADER.size)
        os.close(read)
        os.waitpid(between, 0)  # the new process has been adopted
        for descriptor in descriptors:
            os.close(descriptor)
        with suppress(OSError):
            connection.sendall(answer)


def _keep_template() -> socket.socket:
    """Fork a template for this process, which must have one thread; return its connection."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        empty = os.open(os.devnull, os.O_RDWR)
        for number in range(3):  # else a reader of this process's output would wait for it
            os.dup2(empty, number)
        os.close(empty)
        _set_name(TEMPLATE)
        _become(_serve(theirs))
    theirs.close()
    return ours


def _set_name(name: str) -> None:
    Path("/proc/self/comm").write_text(name)


def _become(request: dict[str, Any]) -> None:
    """Run a module or a code as a new interpreter would, and end this process."""
    _set_name(Path(sys.executable).name)
    if request["session"]:
        os.setsid()
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    _Templates.connection = _keep_template()
    options, (kind, program) = request["options"], request["program"]
    sys.argv[:] = [kind, *request["arguments"]]
    sys.orig_argv = [sys.executable, *options, kind, program, *request["arguments"]]
    search = [] if "-P" in options else [request["cwd"] if kind == "-m" else ""]
    search += filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:] = [*search, *(entry for entry in sys.path if entry != _HERE)]
    for action in (options[at + 1] for at, word in enumerate(options) if word == "-W"):
        warnings.simplefilter(action)
    _open_streams("-u" in options or bool(os.environ.get("PYTHONUNBUFFERED")))
    gc.enable()
    code: Any = 1
    try:
        if kind == "-m":
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        else:
            sys.modules["__main__"] = ModuleType("__main__")
            exec(program, vars(sys.modules["__main__"]))
        code = 0
    except SystemExit as exc:
        code = exc.code
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
    if not isinstance(code, int | None):
        sys.stderr.write(f"{code}\n")
        code = 1
    with suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code or 0)


def _open_streams(unbuffered: bool) -> None:
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        old = getattr(sys, name)
        raw = open(number, mode + "b", buffering=-1, closefd=False)  # noqa: SIM115 - lives on
        errors = "backslashreplace" if number == 2 else old.errors
        stream = io.TextIOWrapper(
            raw,
            encoding=old.encoding,
            errors=errors,
            line_buffering=number == 2 or os.isatty(number),
            write_through=unbuffered and number > 0,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


@contextmanager
def _silence() -> Iterator[None]:
    """Divert stderr, to which coremltools and others write warnings when they are imported."""
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


def main() -> None:
    """Import, then fork on request."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    gc.disable()
    with _silence():
        for module in MODULES:
            with suppress(ImportError):
                importlib.import_module(module)
    gc.freeze()
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "a library started a thread"
    assert not any(name.partition(".")[0] == "kit" for name in sys.modules)
    install()
    _Templates.enabled = True
    _set_name(TEMPLATE)
    _become(_serve(connection))


if __name__ == "__main__":
    import warm_processes  # the module that WarmPopen refers to, not __main__

    warm_processes.main()
