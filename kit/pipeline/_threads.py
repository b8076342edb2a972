"""How many threads a build computes with, whatever the caller's process did before."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psutil


def wait_passively() -> None:
    """Let threads sleep while they wait, before torch is imported, which is when OpenMP reads it.

    Threads that spin slow everything down beside busy children.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@contextmanager
def of_this_machine() -> Iterator[None]:
    """Let torch use this process's cores, and put its number of threads back afterwards.

    The order in which floats are added depends on the number of threads, and a weight that lies
    between two int8 values goes one way or the other by it: without this, the same build would
    give other bytes after somebody called `torch.set_num_threads`. ``OMP_NUM_THREADS`` counts,
    as for torch itself; `torchrun` sets it.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(_count())
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _count() -> int:
    configured = os.environ.get("OMP_NUM_THREADS", "")
    if configured.isdigit() and int(configured) > 0:
        return int(configured)
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(psutil.cpu_count(logical=False) or 1, allowed or 1)
