"""When to stop waiting: a device that says nothing is asked whether it is still there."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

SLICE = 1.0  # seconds of silence after which the device is asked
SILENCE = 5.0  # seconds without any sign of life after which it is lost
_STALL = 30.0  # seconds in which a transfer has to move, though the device is there


class Patience:
    """How long one stream waits.

    A closed connection is noticed by the kernel. One that died without a word (a phone out of
    Wi-Fi, a stopped machine) is noticed only by asking: a command may be silent for minutes.

    Args:
        deadline: `time.monotonic()` at which the service has to have ended, or infinity.
        alive: asks the device for a sign of life; raises when it is gone or silent.
    """

    def __init__(self, deadline: float, alive: Callable[[], None]) -> None:
        self._alive, self._deadline = alive, deadline
        self._begun = self._moved = time.monotonic()

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
        if self._deadline == math.inf and time.monotonic() - self._moved > _STALL:
            raise TimeoutError(f"the transfer has stood still for {_STALL:.0f} s")
        self._alive()

    def slice(self) -> float:
        """Return for how many seconds to wait before `waited` is called."""
        return max(0.01, min(SLICE, self._deadline - time.monotonic()))

    def _check_deadline(self) -> None:
        if time.monotonic() >= self._deadline:
            seconds = self._deadline - self._begun
            raise TimeoutError(f"a command did not end within {seconds:.0f} s")
