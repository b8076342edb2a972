"""How kit talks to a device over adb: one small interface, two ways behind it.

`kit.devices._server` asks a running adb server, `kit.devices._direct` speaks the protocol
itself over TCP or USB. Both raise only kit's errors.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

Sent = Callable[[int], None]  # bytes sent since the last call


@dataclass(frozen=True)
class Completed:
    """A command that ended on the device; text is decoded with replacement characters."""

    code: int
    stdout: str
    stderr: str


class Transport(Protocol):
    """A connection to one device.

    Every method raises `DeviceLost` when the connection breaks or answers nothing within
    its timeout, and `DeviceError` for what the device refuses. After `DeviceLost` the same
    transport connects anew on its next call.
    """

    serial: str

    def shell(self, command: str, timeout: float = 20.0) -> Completed:
        """Run a line of shell; quote every word of it that is not ours with `quote`."""

    def push(
        self,
        file: Path,
        target: str,
        mode: int = 0o644,
        sent: Sent | None = None,
        modified: int | None = None,
    ) -> None:
        """Write a file on the device; what was half written may be left there.

        Args:
            file: of this machine.
            target: absolute path on the device.
            mode: permissions.
            sent: is told how many bytes travelled, again and again.
            modified: time that the file gets, in seconds since 1970; None for now.
        """

    def pull(self, source: str, file: Path, limit: int) -> None:
        """Fetch a file of the device, written here whole or not at all.

        Args:
            source: absolute path on the device.
            file: of this machine.
            limit: bytes; a larger file is refused before any of it travels.
        """

    def close(self) -> None:
        """Let go of the connection; harmless when it is gone."""


def quote(words: Sequence[str]) -> str:
    """Return words as one line of POSIX shell that means exactly these words."""
    return shlex.join(words)
