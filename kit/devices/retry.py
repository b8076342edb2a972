"""A transport that retries for some seconds after the connection is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from kit.devices.transport import Completed, Sent, Transport
from kit.errors import DeviceLost

T = TypeVar("T")

RECONNECT_SECONDS = 10.0  # timeout for a lost device to come back
PAUSE_SECONDS = 0.5


class RetryingTransport:
    """A `Transport` for idempotent commands.

    Args:
        inner: the connection, which reconnects by itself but tries each call only once.
        reconnect_seconds: timeout for the device to come back; afterwards each call fails at
            once, until `renew`.
        stop: when it is set, every call raises `KeyboardInterrupt`: Ctrl-C reaches the main
            thread only, and each device has a thread of its own.
    """

    def __init__(
        self,
        inner: Transport,
        reconnect_seconds: float = RECONNECT_SECONDS,
        stop: threading.Event | None = None,
    ) -> None:
        self.inner, self._reconnect_seconds = inner, reconnect_seconds
        self._stop = stop or threading.Event()
        self._gone: DeviceLost | None = None
        self.serial = inner.serial

    def last(self) -> Transport:
        """Return the transport for cleaning up after an error: without retries once stopped."""
        return self.inner if self._stop.is_set() else self

    def renew(self) -> None:
        """Allow calls again after the timeout."""
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

        def on_sent(count: int) -> None:
            self._check()  # a large file takes minutes
            if sent is not None:
                sent(count)

        self._try(lambda: self.inner.push(file, target, mode, on_sent, modified))

    def pull(self, source: str, file: Path, limit: int) -> None:
        """Fetch a file of the device, of up to `limit` bytes."""
        self._try(lambda: self.inner.pull(source, file, limit))

    def close(self) -> None:
        """Close the connection."""
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
        until = time.monotonic() + self._reconnect_seconds
        while time.monotonic() < until:
            time.sleep(PAUSE_SECONDS)
            self._check()
            try:
                return act()
            except DeviceLost as again:
                lost = again
        self._gone = DeviceLost(
            f"{lost.message}; it did not come back in {self._reconnect_seconds:g} s", lost.hint
        )
        raise self._gone from lost
