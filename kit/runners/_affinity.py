"""The cores this process may run on, as a mask in hexadecimal digits."""

from __future__ import annotations

import os
import re
from pathlib import Path

from kit.errors import RunError, UsageError

_MASK = re.compile("[0-9a-fA-F]{1,256}")


def check(mask: str) -> str:
    """Return a mask as it came; empty is allowed and means "leave the cores alone".

    Raises:
        UsageError: it is no mask, or one of no core.
    """
    if mask and (not _MASK.fullmatch(mask) or not int(mask, 16)):
        raise UsageError(
            f"--cpus is a mask of cores in up to 256 hexadecimal digits, not {mask!r}",
            "f0 names the cores 4 to 7",
        )
    return mask


def use(mask: str) -> None:
    """Bind every thread of this process, and so all that they start, to some cores.

    Raises:
        RunError: the system refuses them, or has no such call.
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


def in_use() -> str | None:
    """Return the mask that the system has for this process, None where it cannot be asked."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    return f"{sum(1 << core for core in os.sched_getaffinity(0)):x}"
