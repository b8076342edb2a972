"""Where a runner runs. A device is a file in this package; adb comes as more files.

A member of `kit.devices` defines ``open(serial: str | None) -> Device``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from kit.results.schema import Context, DeviceRef


class Job(Protocol):
    """A command that was started and runs on its own."""

    def poll(self) -> tuple[list[str], int | None]:
        """Return the complete lines of stdout since the last call, and the exit code or None."""

    def stderr(self) -> str:
        """Return the end of what the command wrote to stderr."""

    def kill(self) -> None:
        """End the command and everything it started; harmless when it is gone."""


class Folder(Protocol):
    """A folder on the device for the files of one measurement."""

    def put(self, file: Path) -> str:
        """Bring a file of this machine to the device and return its path there."""

    def write(self, name: str, data: bytes) -> str:
        """Write a file into the folder and return its path on the device."""

    def path(self, name: str) -> str:
        """Return the path on the device of a file that is yet to be written."""

    def read(self, name: str) -> bytes:
        """Return the content of a file in the folder."""


class Device(Protocol):
    """A machine that can run a runner."""

    ref: DeviceRef

    def folder(self) -> AbstractContextManager[Folder]:
        """Give an empty folder that is removed when the block ends, however it ends."""

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> Job:
        """Start a command detached, with these variables added to the device's own."""

    def context(self, environment: Mapping[str, str], load_before: float | None = None) -> Context:
        """Describe the state of the machine now.

        Called once before and once after a measurement.

        Args:
            environment: variables that were set for the runners.
            load_before: the load average to keep as the one before.
        """
