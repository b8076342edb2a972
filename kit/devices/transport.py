"""Interface of transports to a device over adb, which has two implementations.

`kit.devices.server_transport` uses a running adb server, `kit.devices.direct_transport`
implements the protocol over TCP or USB. Both raise only kit's errors.
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
    """A completed command on the device; text is decoded with replacement characters."""

    code: int
    stdout: str
    stderr: str


class Transport(Protocol):
    """A connection to one device.

    Every method raises `DeviceLost` if the connection breaks or times out, and `DeviceError`
    if the device refuses. After `DeviceLost` the transport reconnects on its next call.
    """

    serial: str

    def shell(self, command: str, timeout: float = 20.0) -> Completed:
        """Run a shell command; quote external words in it with `quote`."""

    def push(
        self,
        file: Path,
        target: str,
        mode: int = 0o644,
        sent: Sent | None = None,
        modified: int | None = None,
    ) -> None:
        """Write a file on the device; a failure may leave a partial file there.

        Args:
            file: of this machine.
            target: absolute path on the device.
            mode: permissions.
            sent: called repeatedly with the number of bytes sent since the last call.
            modified: modification time in seconds since 1970; None for now.
        """

    def pull(self, source: str, file: Path, limit: int) -> None:
        """Fetch a file of the device, written here atomically.

        Args:
            source: absolute path on the device.
            file: of this machine.
            limit: bytes; a larger file is refused before the transfer.
        """

    def close(self) -> None:
        """Close the connection; do nothing if it is closed."""


def quote(words: Sequence[str]) -> str:
    """Return words quoted and joined for a POSIX shell."""
    return shlex.join(words)
