"""Where a runner runs. A device is a file in this package; `local` or `adb`.

A member of `kit.devices` defines ``open(serial: str | None) -> Device``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from kit.devices.parsing import Cluster
from kit.results.schema import Condition, Context, DeviceRef, Fingerprint


class Job(Protocol):
    """A command that was started and runs on its own.

    Attributes:
        silent_seconds: for how long it may work without a line; 0 for a program that reports
            as it goes.
    """

    silent_seconds: float

    def poll(self) -> tuple[list[str], int | None]:
        """Return complete lines of stdout since the last call, and the exit code or None.

        A call takes a few MiB of lines at the most. The exit code comes with the last of them.

        Raises:
            RunError: a line, or what waits to be read, is longer than any runner's.
        """

    def wait(self, idle: float = 0.0) -> None:
        """Wait until it is time to poll again.

        Args:
            idle: seconds in which nothing of interest can happen, unless the command fails.
        """

    def stderr(self) -> str:
        """Return the end of what the command wrote to stderr."""

    def kill(self) -> None:
        """End the command and everything it started; harmless when it is gone."""


class Folder(Protocol):
    """A folder on the device for the files of one measurement."""

    def put(self, file: Path) -> str:
        """Bring a file of this machine to the device and return its path there."""

    def install(self, folder: Path, digests: Mapping[str, str]) -> str:
        """Bring files of a folder that must lie together; return their folder there.

        Args:
            folder: on this machine.
            digests: SHA-256 by file name.
        """

    def audit(self) -> list[str]:
        """Compare all that was brought with what it was; repair it and name what differed."""

    def write(self, name: str, data: bytes) -> str:
        """Write a file into the folder and return its path on the device."""

    def path(self, name: str) -> str:
        """Return the path on the device of a file that is yet to be written."""

    def read(self, name: str, limit: int) -> bytes:
        """Return the content of a file in the folder, of up to `limit` bytes.

        Raises:
            DeviceError: there is no such file, or it is larger.
        """


class Device(Protocol):
    """A machine that can run a runner.

    Attributes:
        abis: of the programs it runs, as Android names them, the preferred one first.
        clusters: its cores, grouped by the clock they share.
        page: size of a memory page in bytes, None where it is not told.
        fingerprint: what tells it from others, for results.
    """

    ref: DeviceRef
    fingerprint: Fingerprint
    abis: tuple[str, ...]
    clusters: tuple[Cluster, ...]
    page: int | None

    def folder(self) -> AbstractContextManager[Folder]:
        """Give an empty folder that is removed when the block ends, however it ends."""

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> Job:
        """Start a command detached, with these variables added to the device's own."""

    def settle(self, limit_c: float, wait_seconds: float) -> float:
        """Wait until it is cool, at most so long; return the seconds waited."""

    def conditions(self) -> tuple[Condition, ...]:
        """Return how it fared while the last command ran, and at its end."""

    def context(self, environment: Mapping[str, str], load_before: float | None = None) -> Context:
        """Describe the state of the machine now.

        Called once before and once after a measurement.

        Args:
            environment: variables that were set for the runners.
            load_before: the load average to keep as the one before.
        """
