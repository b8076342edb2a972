"""Timeouts of streams: a silent device is probed for a sign of life."""

from __future__ import annotations

import time
from collections.abc import Callable

SLICE = 1.0  # seconds of silence after which the device is probed
SILENCE = 5.0  # seconds without a sign of life after which the device is lost
_STALL = 30.0  # timeout in seconds of a stalled transfer, even if the device is alive
_TRANSFER_SECONDS = 60.0  # timeout of a transfer, plus a time per byte
_SLOWEST_TRANSFER = 200_000  # bytes a second: a tenth of slow Wi-Fi


def compute_transfer_seconds(size: int) -> float:
    """Return the timeout in seconds of a transfer of `size` bytes."""
    return _TRANSFER_SECONDS + size / _SLOWEST_TRANSFER


class Deadline:
    """A point in time some seconds from now.

    Attributes:
        seconds: from its creation.
        at: by `time.monotonic()`.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.at = time.monotonic() + seconds


class StreamTimeouts:
    """Timeouts of one stream.

    The kernel reports a closed connection. A peer that vanished (a phone out of Wi-Fi, a
    stopped machine) is only detected by probing, since a command may be silent for minutes.

    Args:
        deadline: of the service. Output of the device does not extend it.
        alive: probes the device; raises if it is gone or silent.
        transfer: whether the service is a transfer, which must not stall.
    """

    def __init__(
        self, deadline: Deadline, alive: Callable[[], None], transfer: bool = False
    ) -> None:
        self._alive, self.deadline, self._transfer = alive, deadline, transfer
        self._moved = time.monotonic()

    def moved(self) -> None:
        """Record progress of the stream.

        Raises:
            TimeoutError: the deadline has passed.
        """
        self._moved = time.monotonic()
        self._check_deadline()

    def waited(self) -> None:
        """Record a slice of time without progress, and probe the device.

        Raises:
            TimeoutError: the deadline has passed, or a transfer has stalled.
            Exception: from `alive`.
        """
        self._check_deadline()
        if self._transfer and time.monotonic() - self._moved > _STALL:
            raise TimeoutError(f"the transfer has stood still for {_STALL:.0f} s")
        self._alive()

    def slice(self) -> float:
        """Return the seconds to wait before calling `waited`."""
        return max(0.01, min(SLICE, self.deadline.at - time.monotonic()))

    def _check_deadline(self) -> None:
        if time.monotonic() >= self.deadline.at:
            what = "a transfer" if self._transfer else "a command"
            raise TimeoutError(f"{what} did not end within {self.deadline.seconds:.0f} s")
