"""Clocks that a test moves: the time of day by a preload, the uptime by a time namespace.

On a device the preload is in the adb daemon's environment, so that all it starts has it too,
programs with a loader of their own as well. Only the shell, which is linked statically, has
none. Clocks that no one can set, and the times of files, stay true.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path

from virtual_device.roots import CannotRun
from virtual_device.state import replace

LIBRARY, OFFSET = "wall-clock.so", "wall-clock"
_SOURCE = Path(__file__).with_name("wall_clock.cpp")


def make(folder: Path) -> None:
    """Put the preload into a folder, with an offset of no seconds.

    Raises:
        CannotRun: there is no compiler.
    """
    (folder / LIBRARY).write_bytes(_compiled())
    jump(folder, 0)


@cache
def _compiled() -> bytes:
    compiler = shutil.which("g++")
    if compiler is None:
        raise CannotRun("a time of day that jumps needs Debian's g++")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, LIBRARY)
        words = ["-shared", "-fPIC", "-O2", "-o", str(library), str(_SOURCE)]
        subprocess.run([compiler, *words], check=True)
        return library.read_bytes()


def jump(folder: Path, seconds: float) -> None:
    """Let every process with the `preload` of a folder have so many seconds too many."""
    replace(folder / OFFSET, f"{seconds:.0f}")


def preload(folder: Path | str) -> dict[str, str]:
    """Return the variables of a process that follows the offset in a folder."""
    return {"LD_PRELOAD": f"{folder}/{LIBRARY}", "KIT_WALL_CLOCK": f"{folder}/{OFFSET}"}


def started_ago(seconds: float) -> list[str]:
    """Return the start of a command for which the kernel was started so long ago."""
    before = round(seconds - time.clock_gettime(time.CLOCK_BOOTTIME))
    unshare = shutil.which("unshare") or "unshare"  # the environment is the device's
    return [unshare, "--time", f"--boottime={before}", f"--monotonic={before}"]
