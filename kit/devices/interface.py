"""Interface of devices, on which runners run. A device is a file in this package.

Each of them, `local` and `adb`, defines ``open(serial: str | None) -> Device``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from kit.devices.parsing import Cluster
from kit.results.context import Condition, Context, DeviceRef, Fingerprint


class Job(Protocol):
    """A detached command.

    Attributes:
        silent_seconds: timeout for its next line of output, if longer than the runner's own.
    """

    silent_seconds: float

    def poll(self) -> tuple[list[str], int | None]:
        """Return complete lines of stdout since the last call, and the exit code or None.

        A call returns up to a few MiB. The exit code is returned with the last lines.

        Raises:
            RunError: a line, or the unread output, is longer than any runner's.
        """

    def wait(self, idle: float = 0.0) -> None:
        """Wait until it is time to poll again.

        Args:
            idle: seconds in which no output is expected, unless the command fails.
        """

    def stderr(self) -> str:
        """Return the end of what the command wrote to stderr."""

    def kill(self) -> None:
        """Kill the command and its children; do nothing if it has ended."""


class Folder(Protocol):
    """A folder on the device for the files of one measurement."""

    def put(self, file: Path) -> str:
        """Push a file of this machine to the device and return its path there."""

    def install(self, folder: Path, digests: Mapping[str, str]) -> str:
        """Push files of a folder that must stay in one folder; return that folder's path.

        Args:
            folder: on this machine.
            digests: SHA-256 by file name.
        """

    def audit(self) -> list[str]:
        """Hash all pushed files; push changed ones again, and return their names."""

    def write(self, name: str, data: bytes) -> str:
        """Write a file into the folder and return its path on the device."""

    def path(self, name: str) -> str:
        """Return the path on the device of a file in the folder."""

    def read(self, name: str, limit: int) -> bytes:
        """Return the content of a file in the folder, of up to `limit` bytes.

        Raises:
            DeviceError: there is no such file, or it is larger.
        """


class Device(Protocol):
    """A machine that can run a runner.

    Attributes:
        abis: that it runs, as Android names them, the preferred one first.
        clusters: its cores, grouped by the clock they share.
        page: size of a memory page in bytes, None if unknown.
        fingerprint: identifies its model and system in results.
    """

    ref: DeviceRef
    fingerprint: Fingerprint
    abis: tuple[str, ...]
    clusters: tuple[Cluster, ...]
    page: int | None

    def folder(self) -> AbstractContextManager[Folder]:
        """Yield an empty folder that is removed when the block ends."""

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> Job:
        """Start a command detached, with variables added to the device's environment."""

    def settle(self, limit_c: float, wait_seconds: float) -> float:
        """Wait until the device is cool, or the timeout; return the seconds waited."""

    def conditions(self) -> tuple[Condition, ...]:
        """Return the conditions during the last command, and at its end."""

    def context(self, environment: Mapping[str, str], load_before: float | None = None) -> Context:
        """Describe the state of the machine now.

        Called once before and once after a measurement.

        Args:
            environment: variables of the runners.
            load_before: the load average before the measurement; None if this is the first call.
        """
