"""When to stop waiting: a device that says nothing is asked whether it is still there."""

from __future__ import annotations

import time
from collections.abc import Callable

SLICE = 1.0  # seconds of silence after which the device is asked
SILENCE = 5.0  # seconds without any sign of life after which it is lost
_STALL = 30.0  # seconds in which a transfer has to move, though the device is there
_TRANSFER_SECONDS = 60.0  # for a transfer of any size, and more for each byte
_SLOWEST_TRANSFER = 200_000  # bytes a second: a tenth of slow Wi-Fi


def transfer_seconds(size: int) -> float:
    """Return the seconds that a transfer of so many bytes may take in all."""
    return _TRANSFER_SECONDS + size / _SLOWEST_TRANSFER


class Deadline:
    """A point in time some seconds from now.

    Attributes:
        seconds: from when it was made.
        at: by `time.monotonic()`.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.at = time.monotonic() + seconds


class Patience:
    """How long one stream waits.

    A closed connection is noticed by the kernel. One that died without a word (a phone out of
    Wi-Fi, a stopped machine) is noticed only by asking: a command may be silent for minutes.

    Args:
        deadline: when the service has to have ended. What the device sends does not move it.
        alive: asks the device for a sign of life; raises when it is gone or silent.
        transfer: the service is a transfer, which has to move all the time.
    """

    def __init__(
        self, deadline: Deadline, alive: Callable[[], None], transfer: bool = False
    ) -> None:
        self._alive, self.deadline, self._transfer = alive, deadline, transfer
        self._moved = time.monotonic()

    def moved(self) -> None:
        """Note that the stream moved.

        Raises:
            TimeoutError: the deadline has passed all the same.
        """
        self._moved = time.monotonic()
        self._check_deadline()

    def waited(self) -> None:
        """Note that nothing moved for a slice of time.

        Raises:
            TimeoutError: the deadline has passed, or a transfer stands still.
            Exception: what `alive` raises.
        """
        self._check_deadline()
        if self._transfer and time.monotonic() - self._moved > _STALL:
            raise TimeoutError(f"the transfer has stood still for {_STALL:.0f} s")
        self._alive()

    def slice(self) -> float:
        """Return for how many seconds to wait before `waited` is called."""
        return max(0.01, min(SLICE, self.deadline.at - time.monotonic()))

    def _check_deadline(self) -> None:
        if time.monotonic() >= self.deadline.at:
            what = "a transfer" if self._transfer else "a command"
            raise TimeoutError(f"{what} did not end within {self.deadline.seconds:.0f} s")
