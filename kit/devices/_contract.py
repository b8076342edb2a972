"""Where a runner runs. A device is a file in this package; adb comes as more files.

A member of `kit.devices` defines ``open(serial: str | None) -> Device``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


class Device(Protocol):
    """A machine that can run a runner."""

    ref: DeviceRef

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> Job:
        """Start a command detached."""

    def context(self, environment: Mapping[str, str], load_before: float | None = None) -> Context:
        """Describe the state of the machine now."""
