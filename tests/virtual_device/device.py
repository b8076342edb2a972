"""A running virtual device, seen from outside."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil

from virtual_device import clocks, life
from virtual_device.mounts import STORAGE
from virtual_device.roots import CannotRun
from virtual_device.state import State


@dataclass(frozen=True)
class Process:
    """A process of the device, by its number on the host."""

    pid: int
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Device:
    """A running virtual device, seen from outside.

    Attributes:
        folder: its own folder on the host.
        port: where it listens, on 127.0.0.1.
        arch: arm64 or x86_64.
    """

    folder: Path
    port: int
    arch: str

    @property
    def serial(self) -> str:
        return f"127.0.0.1:{self.port}"

    @cached_property
    def state(self) -> State:
        """What the device reports, and what it recorded."""
        return State(self.folder)

    @property
    def alive(self) -> bool:
        return life.locked(self.folder)

    @property
    def storage(self) -> Path:
        """The device's /data/local/tmp, as this machine sees it."""
        if self._config["proot"]:
            return self.folder / "storage"
        return Path(f"/proc/{self._supervisor().pid}/root{self._config['root']}", STORAGE)

    def read(self, path: str) -> bytes:
        """Return the content of a file below /data/local/tmp, absolute or relative to it."""
        return self._file(path).read_bytes()

    def write(self, path: str, data: bytes) -> None:
        """Replace the content of a file below /data/local/tmp, behind everyone's back."""
        self._file(path).write_bytes(data)

    def files(self) -> dict[str, int]:
        """Return the size in bytes of every file below /data/local/tmp."""
        top, result = self.storage, {}
        for one in sorted(top.rglob("*")):
            with suppress(FileNotFoundError):  # it was renamed or removed this moment
                if one.is_symlink() or not one.is_dir():
                    result[str(one.relative_to(top))] = one.lstat().st_size
        return result

    def processes(self) -> list[Process]:
        """Return what runs on the device, the adb daemon too, without the device's own process."""
        result = []
        for one in self._supervisor().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                result.append(Process(one.pid, tuple(one.cmdline())))
        return result

    def free(self, mb: float | None) -> None:
        """Leave this much free in /data/local/tmp; None gives its whole size back."""
        if mb is None:
            self._ask("size", self._config["size_mb"])
        else:
            self._ask("free", round(mb * 1e6))

    def read_only(self, yes: bool = True) -> None:
        """Make /data/local/tmp refuse every write, or take them again."""
        self._ask("read_only", yes)

    def kill_daemon(self, with_children: bool = False) -> None:
        """`kill -9` the adb daemon; `restart` brings it back.

        Args:
            with_children: also what it started, as a phone's init does when adbd ends there.
        """
        for daemon in self._daemons():
            family = daemon.children(recursive=True) if with_children else []
            for one in (daemon, *family):
                with suppress(psutil.NoSuchProcess):
                    one.kill()
            life.wait(lambda one=daemon: not one.is_running())

    def restart(self) -> None:
        """Start the adb daemon again, on the same port; files and processes stay."""
        self._ask("restart", None)

    def reboot(self, uptime: float = 20.0) -> None:
        """End every process and start anew, so many seconds ago; files and settings stay."""
        self._ask("reboot", uptime)

    def renew(self) -> None:
        """Make it a new device at the same port, which takes less than a start: nothing stays."""
        self._ask("renew", None)

    def jump(self, seconds: float) -> None:
        """Let the time of day be so many seconds off; the first call restarts the daemon.

        Raises:
            CannotRun: it is not an x86_64 device, or there is no compiler.
        """
        if self.arch != "x86_64":
            raise CannotRun("only the x86_64 virtual device has a time of day that jumps")
        values = self.folder / "values"
        first = not (values / clocks.OFFSET).exists()
        if first:
            clocks.make(values)
        clocks.jump(values, seconds)
        if first:
            self.restart()

    def stop(self) -> None:
        """End the device; nothing of it stays."""
        life.end(self.folder)

    def _file(self, path: str) -> Path:
        return self.storage / path.removeprefix(f"/{STORAGE}").lstrip("/")

    def _daemons(self) -> list[psutil.Process]:
        result = []
        for one in self._supervisor().children():
            with suppress(psutil.NoSuchProcess):  # a zombie is one that has just ended
                if "/vdev/adbd" in one.cmdline():
                    result.append(one)
        return result

    @cached_property
    def _config(self) -> dict[str, Any]:
        return json.loads((self.folder / "config.json").read_text())

    def _supervisor(self) -> psutil.Process:
        return life.supervisor(self.folder)

    def _ask(self, name: str, value: Any) -> Any:
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(30)
            control.connect(str(self.folder / "control"))
            control.sendall(json.dumps({"name": name, "value": value}).encode() + b"\n")
            answer = json.loads(control.makefile().readline())
        if "error" in answer:
            raise RuntimeError(f"the virtual device cannot {name}: {answer['error']}")
        return answer["ok"]
