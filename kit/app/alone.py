"""One Maven at a time in `android_app/`: its `target` folder is everybody's."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kit.errors import OutputError

LOCK = ".maven.lock"  # beside of target, which `mvn clean` removes


@contextmanager
def alone(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold a folder of Maven's for a block; wait while another process has it.

    The kernel gives it back when this process ends, however it does.

    Raises:
        OutputError: the folder cannot be written to.
    """
    file = folder / LOCK
    try:
        lock = file.open("a")
    except OSError as exc:
        raise OutputError(
            f"cannot write to {folder}: {exc.strerror}", "use a checkout of your own"
        ) from exc
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another kit that uses {folder}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
