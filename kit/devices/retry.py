"""A transport that outlives short losses: what was lost is asked again for some seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from kit.devices.transport import Completed, Sent, Transport
from kit.errors import DeviceLost

T = TypeVar("T")

PATIENCE = 10.0  # seconds that a lost device may take to come back
_PAUSE = 0.5


class RetryingTransport:
    """A `Transport` for commands that do no harm when they run twice.

    Args:
        inner: the connection, which connects anew by itself but asks once only.
        patience: seconds after the first loss in which the device may come back; once they
            are over, each call fails at once, until `renew`: one wait is enough.
        stop: when it is set, every call raises `KeyboardInterrupt`: Ctrl-C reaches the main
            thread only, and each device has a thread of its own.
    """

    def __init__(
        self,
        inner: Transport,
        patience: float = PATIENCE,
        stop: threading.Event | None = None,
    ) -> None:
        self.inner, self._patience = inner, patience
        self._stop = stop or threading.Event()
        self._gone: DeviceLost | None = None
        self.serial = inner.serial

    def last(self) -> Transport:
        """Return what may still be used to put things in order after an error."""
        return self.inner if self._stop.is_set() else self

    def renew(self) -> None:
        """Ask the device again, though it was given up."""
        self._gone = None

    def shell(self, command: str, timeout: float = 20.0) -> Completed:
        """Run a line of shell."""
        return self._try(lambda: self.inner.shell(command, timeout))

    def push(
        self,
        file: Path,
        target: str,
        mode: int = 0o644,
        sent: Sent | None = None,
        modified: int | None = None,
    ) -> None:
        """Write a file on the device, from its beginning after a loss."""

        def told(count: int) -> None:
            self._check()  # a large file may travel for minutes
            if sent is not None:
                sent(count)

        self._try(lambda: self.inner.push(file, target, mode, told, modified))

    def pull(self, source: str, file: Path, limit: int) -> None:
        """Fetch a file of the device, of up to `limit` bytes."""
        self._try(lambda: self.inner.pull(source, file, limit))

    def close(self) -> None:
        """Let go of the connection."""
        self.inner.close()

    def _try(self, act: Callable[[], T]) -> T:
        self._check()
        if self._gone is not None:
            raise self._gone
        try:
            return act()
        except DeviceLost as lost:
            return self._retry(act, lost)

    def _check(self) -> None:
        if self._stop.is_set():
            raise KeyboardInterrupt

    def _retry(self, act: Callable[[], T], lost: DeviceLost) -> T:
        until = time.monotonic() + self._patience
        while time.monotonic() < until:
            time.sleep(_PAUSE)
            self._check()
            try:
                return act()
            except DeviceLost as again:
                lost = again
        self._gone = DeviceLost(
            f"{lost.message}; it did not come back in {self._patience:g} s", lost.hint
        )
        raise self._gone from lost
