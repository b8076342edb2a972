"""A lock for Maven in `android_app/`, whose `target` folder all processes share."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kit.errors import OutputError
from kit.progress import ReportStatus

LOCK = ".maven.lock"  # next to target, which `mvn clean` removes


@contextmanager
def hold_maven_lock(folder: Path, report_status: ReportStatus) -> Iterator[None]:
    """Hold the lock of a Maven project's folder; wait while another process holds it.

    The kernel releases it when this process ends, even if it is killed.

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
            report_status(f"waiting for another kit that uses {folder}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
