"""Redirect libraries' output, logs and warnings to a file instead of the screen.

PyTorch, its exporters and the runtimes print messages for developers: about deprecations,
operators, the machine. Users of commands can do nothing about them. Kit's own
lines are written to `sys.stderr`, which keeps leading to the screen.
"""

from __future__ import annotations

import fcntl
import io
import logging
import os
import stat
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO, cast

from kit import files

MAX_BYTES = 2**20  # of the file, when a command begins
KEPT_BYTES = 2**18  # of a file that was larger
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def path() -> Path:
    """Return the file, in the user's folder for logs."""
    import platformdirs

    return platformdirs.user_log_path("kit") / "kit.log"


def divert() -> None:
    """Divert this process, to its end: descriptor 2, `logging` and `warnings` lead to the file."""
    screen, log = _screen(), _open()
    if log != 2:  # it is where stderr was closed
        os.dup2(log, 2)
        os.close(log)
    _divert_logging(screen)


def _screen() -> int | None:
    """Have `sys.stderr` lead to where descriptor 2 leads now, whatever becomes of that."""
    before = sys.stderr
    try:
        screen = fcntl.fcntl(2, fcntl.F_DUPFD_CLOEXEC, 3)
    except OSError:  # kit was started without stderr
        return None
    if before is not None:
        sys.stderr = io.TextIOWrapper(
            io.FileIO(screen, "w"),
            encoding=before.encoding,
            errors=before.errors,
            line_buffering=True,
            write_through=True,
        )
    return screen


def _open() -> int:
    """Open the file, which is cut where it has become long."""
    with suppress(OSError):
        file = path()
        file.parent.mkdir(parents=True, exist_ok=True)
        _cut(file)
        log = os.open(file, _FLAGS, 0o600)
        if stat.S_ISREG(os.fstat(log).st_mode):
            return log
        os.close(log)
    return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


def _cut(file: Path) -> None:
    if not file.exists() or file.stat().st_size <= MAX_BYTES:
        return
    with files.open_regular(file) as old:
        old.seek(-KEPT_BYTES, os.SEEK_END)
        files.write(file, old.read())


def _divert_logging(screen: int | None) -> None:
    stream = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    handler = logging.StreamHandler(stream)
    line = f"%(asctime)s {os.getpid()} %(levelname)s %(name)s: %(message)s"
    handler.setFormatter(logging.Formatter(line))
    logging.getLogger().addHandler(handler)
    logging.captureWarnings(True)

    def record(name: str, *args: Any, **kwargs: Any) -> logging.LogRecord:  # handed on as they are
        _remove_consoles(logging.getLogger(name), (1, screen))
        return logging.LogRecord(name, *args, **kwargs)

    logging.setLogRecordFactory(record)


def _remove_consoles(logger: logging.Logger | None, consoles: Sequence[int | None]) -> None:
    """Have a record that a logger is about to handle reach the file, and no console.

    Libraries bring handlers of their own, for the stderr that they find when they are imported
    or later.
    """
    while logger is not None:
        for handler in list(logger.handlers):
            if _descriptor(getattr(handler, "stream", None)) in consoles:
                logger.removeHandler(handler)
                logger.propagate = True
        logger = logger.parent


def _descriptor(stream: object) -> int:
    try:
        return int(cast(TextIO, stream).fileno())  # what has none is caught
    except (AttributeError, OSError, ValueError):
        return -1
