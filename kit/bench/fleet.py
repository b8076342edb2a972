"""Run work on several devices in parallel, one thread each; errors of one do not stop others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Generic, TypeVar

from kit.errors import KitError

T = TypeVar("T")


class InternalError(Exception):
    """An unexpected error on one of several devices; its cause has the traceback."""


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """Outcome of one device: a result, or the error that ended its work."""

    serial: str
    result: T | None = None
    error: KitError | InternalError | None = None


def run_each(
    serials: Sequence[str],
    work: Callable[[str, threading.Event], T],
) -> list[Outcome[T]]:
    """Run a function for all devices in parallel, and return the outcomes in their order.

    Args:
        serials: of the devices.
        work: called with a serial, and an event that is set when it must stop.

    Raises:
        KeyboardInterrupt: after all work has stopped.
    """
    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=max(1, len(serials))) as pool:
        futures: Mapping[str, Future[T]] = {s: pool.submit(work, s, stop) for s in serials}
        try:
            wait(futures.values())
        except KeyboardInterrupt:
            stop.set()  # leaving the block waits until every device is cleaned up
            raise
    return [_outcome(serial, future) for serial, future in futures.items()]


def _outcome(serial: str, future: Future[T]) -> Outcome[T]:
    error = future.exception()
    if error is None:
        return Outcome(serial, result=future.result())
    if isinstance(error, KitError):
        return Outcome(serial, error=error)
    if not isinstance(error, Exception):
        raise error
    # A bug must not discard the results of other devices.
    internal = InternalError(f"on {serial}: {type(error).__name__}: {error}")
    internal.__cause__ = error
    return Outcome(serial, error=internal)
