"""Whether a device lives, and how it ends.

Its folder holds the number of its first process, and a lock that it holds while it runs.
"""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil


def supervisor(folder: Path) -> psutil.Process:
    """Return process 1 of a device: below `unshare`, or what was launched itself under proot."""
    launched = psutil.Process(int((folder / "pid").read_text()))
    is_itself = launched.cmdline()[1:3] == ["-m", "virtual_device.supervisor"]
    return launched if is_itself else launched.children()[0]


def end(folder: Path) -> None:
    """Kill process 1 of a device, which ends all others, and wait until they are gone."""
    with suppress(OSError, psutil.NoSuchProcess, IndexError):
        if locked(folder):
            launched = psutil.Process(int((folder / "pid").read_text()))
            family = launched.children(recursive=True)
            supervisor(folder).kill()
            for one in family:  # those of proot do not end with it
                with suppress(psutil.NoSuchProcess):
                    one.kill()
            psutil.wait_procs([launched, *family], timeout=20)
    shutil.rmtree(folder, ignore_errors=True)


def locked(folder: Path) -> bool:
    """Whether the device of a folder runs."""
    try:
        with (folder / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def wait(done: Callable[[], bool], seconds: float = 10.0) -> None:
    """Return once something is so, or raise TimeoutError."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError("the virtual device does not do what it was told")
        time.sleep(0.01)
