"""The CPU affinity of this process, as a mask in hexadecimal digits."""

from __future__ import annotations

import os
import re
from pathlib import Path

from kit.errors import RunError, UsageError

_MASK = re.compile("[0-9a-fA-F]{1,256}")


def check(mask: str) -> str:
    """Return a valid mask unchanged; an empty one keeps the affinity.

    Raises:
        UsageError: it is no mask, or has no core.
    """
    if mask and (not _MASK.fullmatch(mask) or not int(mask, 16)):
        raise UsageError(
            f"--cpus is a mask of cores in up to 256 hexadecimal digits, not {mask!r}",
            "f0 names the cores 4 to 7",
        )
    return mask


def use(mask: str) -> None:
    """Bind every thread of this process, and their future children, to cores.

    Raises:
        RunError: the kernel refuses the cores, or the system has no affinity.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise RunError("this system cannot bind a process to cores", "leave --cpus out")
    cores = {i for i in range(4 * len(mask)) if int(mask, 16) >> i & 1}
    try:
        for thread in Path("/proc/self/task").iterdir():  # numpy may have started some
            os.sched_setaffinity(int(thread.name), cores)
    except OSError as exc:
        raise RunError(
            f"the kernel refuses the cores {mask}: {exc.strerror}", "name other cores"
        ) from exc


def get_mask() -> str | None:
    """Return the current affinity mask of this process, None if the system has none."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    return f"{sum(1 << core for core in os.sched_getaffinity(0)):x}"
