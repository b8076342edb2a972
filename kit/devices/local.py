"""The machine kit runs on, as a device."""

from __future__ import annotations

import math
import os
import platform
import resource
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

import psutil

import kit
from kit.devices import fingerprint, hostinfo
from kit.devices._limits import BACKLOG_BYTES, LINE_BYTES, LOOK_BYTES, MIB, STDERR_BYTES
from kit.devices.device_job import make_length_error
from kit.devices.interface import Device
from kit.errors import DeviceError, OutputError, RunError, UsageError
from kit.files import temporary, untrusted
from kit.results.context import Condition, Context, DeviceRef

# Settings of the caller's shell that would change what a runtime does.
_DROPPED = ("OMP_", "GOMP_", "KMP_", "MKL_", "ORT_", "DNNL_", "ONEDNN_", "ATEN_", "PYTORCH_")
_TAIL_BYTES = 8192
_POLL_SECONDS = 0.1
_ABIS = {"aarch64": "arm64-v8a", "arm64": "arm64-v8a", "AMD64": "x86_64"}  # as Android names them
PARENT = "KIT_RUNNER_PARENT"  # pid of kit, so that a child detects that kit was killed


def open(serial: str | None) -> Device:
    """Return this machine.

    Raises:
        UsageError: a serial number was given.
    """
    if serial is not None:
        raise UsageError(f"the local machine has no serial {serial!r}", "leave the serial out")
    return LocalDevice()


class LocalDevice:
    """This machine; each command runs in a process group of its own."""

    def __init__(self) -> None:
        self._host = hostinfo.read()
        self._clock: tuple[float, float, float] | None = None
        self.ref = DeviceRef(kind="local", name=self._host.cpu)
        machine = platform.machine()
        self.clusters = hostinfo.read_clusters()
        self.page: int | None = resource.getpagesize()
        self.abis: tuple[str, ...] = (_ABIS.get(machine, machine),)
        self.fingerprint = fingerprint.fingerprint_host(self._host, self.abis[0])

    @contextmanager
    def folder(self) -> Iterator[LocalFolder]:
        """Yield a temporary folder."""
        with ExitStack() as stack:
            try:
                path = stack.enter_context(temporary.make_folder())
            except OSError as exc:
                raise _no_space(temporary.find_root(), exc) from exc
            yield LocalFolder(path)

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> LocalJob:
        """Start a command.

        Raises:
            DeviceError: it cannot be started.
        """
        kept = {k: v for k, v in os.environ.items() if not k.startswith(_DROPPED)}
        try:
            return LocalJob(command, {**kept, **environment, PARENT: str(os.getpid())})
        except OSError as exc:
            raise DeviceError(
                f"cannot start {command[0]}: {exc.strerror or exc}",
                "check the Python environment, and the space in the temporary folder",
            ) from exc

    def settle(self, limit_c: float, wait_seconds: float) -> float:
        """Return at once: a computer has fans, and no battery that reports a temperature."""
        return 0.0

    def conditions(self) -> tuple[Condition, ...]:
        """Return nothing: the context has what is known."""
        return ()

    def context(self, environment: Mapping[str, str], load_before: float | None = None) -> Context:
        """Describe this machine now."""
        load = os.getloadavg()[0]
        return Context(
            cpu=self._host.cpu,
            cores=self._cores(),
            machine=self._host.machine,
            os=self._host.os,
            governor=hostinfo.read_governor(),
            load_before=load if load_before is None else load_before,
            load_after=load,
            mhz=_clocks(),
            memory_total=psutil.virtual_memory().total,
            others=self._others(),
            versions={"python": platform.python_version(), "kit": kit.__version__},
            environment=dict(environment),
        )

    def _cores(self) -> int:
        affinity = getattr(os, "sched_getaffinity", None)
        allowed = len(affinity(0)) if affinity else os.cpu_count() or 1
        return max(1, min(allowed, math.ceil(self._host.quota or allowed)))

    def _others(self) -> float | None:
        """Return the cores that other programs kept busy since the last call.

        The load average does not show that: it includes the previous minute, and kit itself.
        """
        now, before = (time.monotonic(), read_busy_seconds(), read_own_seconds()), self._clock
        self._clock = now
        if before is None or now[0] - before[0] < 1:  # the kernel counts in ticks of 10 ms
            return None
        elapsed, busy, own = (n - b for n, b in zip(now, before, strict=True))
        return max(0.0, (busy - own) / elapsed)


class LocalFolder:
    """A temporary folder; files of this machine are used in place."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, file: Path) -> str:
        """Return the absolute path of the file itself."""
        return str(file.resolve())

    def install(self, folder: Path, digests: Mapping[str, str]) -> str:
        """Return the absolute path of the folder itself."""
        return str(folder.resolve())

    def audit(self) -> list[str]:
        """Return nothing: files are used in place."""
        return []

    def write(self, name: str, data: bytes) -> str:
        """Write a file.

        Raises:
            OutputError: the temporary folder is full.
        """
        target = self._root / name
        try:
            target.write_bytes(data)
        except OSError as exc:
            raise _no_space(target, exc) from exc
        return str(target)

    def path(self, name: str) -> str:
        """Return the path of a file in the folder."""
        return str(self._root / name)

    def read(self, name: str, limit: int) -> bytes:
        """Return the content of a file of up to `limit` bytes.

        Raises:
            DeviceError: there is no such file, or it is larger.
        """
        try:
            return untrusted.read_file(self._root / name, limit)
        except OSError as exc:
            raise DeviceError(f"cannot read {name}: {exc.strerror}", "measure again") from exc


class LocalJob:
    """A child process and its children. Its output goes to nameless files.

    So a slow reader never blocks the child, as a full pipe would in the middle of a sample.
    """

    silent_seconds = 0.0

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._read, self._rest = 0, b""
        self._stdout: IO[bytes] = temporary.open_nameless()
        try:
            self._stderr: IO[bytes] = temporary.open_nameless()
        except OSError:
            self._stdout.close()
            raise
        try:
            self._process = subprocess.Popen(
                list(command),
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=self._stdout,
                stderr=self._stderr,
                start_new_session=True,  # Ctrl-C reaches kit only, which then ends the group
            )
        except OSError:
            self._close()
            raise

    def poll(self) -> tuple[list[str], int | None]:
        """Return complete lines since the last call, and the exit code or None.

        Raises:
            RunError: a line, stderr or the unread output is longer than any runner's.
        """
        code = self._process.poll()  # before reading: nothing is written after the end
        waiting = os.fstat(self._stdout.fileno()).st_size - self._read
        _check_size("stdout", waiting, BACKLOG_BYTES)
        _check_size("stderr", os.fstat(self._stderr.fileno()).st_size, STDERR_BYTES)
        data = os.pread(self._stdout.fileno(), min(waiting, LOOK_BYTES), self._read)
        self._read += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LINE_BYTES:
            raise make_length_error()
        all_read = len(data) == waiting
        return [line.decode(errors="replace") for line in lines], code if all_read else None

    def wait(self, idle: float = 0.0) -> None:
        """Wait for a tenth of a second: polling is cheap here."""
        time.sleep(_POLL_SECONDS)

    def stderr(self) -> str:
        """Return the last 8 KiB of stderr."""
        size = os.fstat(self._stderr.fileno()).st_size
        start = max(0, size - _TAIL_BYTES)
        return os.pread(self._stderr.fileno(), size - start, start).decode(errors="replace")

    def kill(self) -> None:
        """Kill the process group."""
        # The group may be gone; macOS reports "not permitted" for a group of zombies.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._close()

    def _close(self) -> None:
        self._stdout.close()
        self._stderr.close()


def _check_size(name: str, size: int, limit: int) -> None:
    if size > limit:
        raise RunError(
            f"the runner writes more to {name} than kit can read: {size // MIB} MiB are waiting, "
            f"and the limit is {limit // MIB}",
            "use the runner that belongs to this kit; if you do, please report it",
        )


def _clocks() -> tuple[float, ...]:
    try:
        return tuple(round(f.current, 1) for f in psutil.cpu_freq(percpu=True) or ())
    except (OSError, NotImplementedError, AttributeError):  # absent on some systems and ARM VMs
        return ()


def read_busy_seconds() -> float:
    """Return the busy seconds of all cores since boot, including steal time."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    guest = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # in user already
    return float(sum(times) - idle - guest)


def read_own_seconds() -> float:
    """Return the CPU seconds of this process and of its children that ended."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(u.ru_utime + u.ru_stime for u in usages)


def _no_space(path: Path, exc: OSError) -> OutputError:
    return OutputError.of(exc, path, "make space there, or point TMPDIR to another folder")
