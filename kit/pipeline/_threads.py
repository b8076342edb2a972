"""Number of torch's threads in a build, independent of the caller's settings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from kit.garbage import pause_collection
from kit.workers import count_cores


def wait_passively() -> None:
    """Make OpenMP's idle threads sleep; must be called before torch is imported.

    Spinning threads would slow down the child processes.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@contextmanager
def use_all_cores() -> Iterator[None]:
    """Set torch's number of threads to this machine's cores, and restore it afterwards.

    The order of floating-point additions depends on the number of threads, and can round a
    weight to another int8 value: without this, the same build could give other bytes after a
    call of `torch.set_num_threads`. ``OMP_NUM_THREADS`` takes precedence, as for torch itself;
    `torchrun` sets it.
    """
    with pause_collection():
        import torch

    before = torch.get_num_threads()
    torch.set_num_threads(_count())
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _count() -> int:
    return read_thread_limit() or min(psutil.cpu_count(logical=False) or 1, count_cores())


def read_thread_limit() -> int | None:
    """Return the number of threads that the user has set with ``OMP_NUM_THREADS``."""
    configured = os.environ.get("OMP_NUM_THREADS", "")
    return int(configured) if configured.isdigit() and int(configured) > 0 else None
