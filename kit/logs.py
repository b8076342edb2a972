"""Redirect libraries' output, logs and warnings to a file instead of the screen.

PyTorch, its exporters and the runtimes print messages for developers: about deprecations,
operators, the machine. kit's users can do nothing about them. kit writes its own lines to
`sys.stderr`, which still leads to the screen.
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

from kit.errors import OutputError
from kit.files import atomic, untrusted

MAX_BYTES = 2**20  # a larger file is cut when a command begins
KEPT_BYTES = 2**18  # the end of the file that is kept then
_diverted = False
_screen_descriptor: int | None = None  # of stderr; None if kit was started without it
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def get_path() -> Path:
    """Return the path of the log file, in the user's log folder."""
    import platformdirs

    return platformdirs.user_log_path("kit") / "kit.log"


def divert() -> None:
    """Redirect descriptor 2, `logging` and `warnings` to the file until this process ends."""
    global _diverted, _screen_descriptor
    screen, log = _screen(), _open()
    _diverted, _screen_descriptor = True, screen
    if log != 2:  # equal if kit was started without stderr
        os.dup2(log, 2)
        os.close(log)
    _divert_logging(screen)


def open_log(path: Path) -> TextIO:
    """Open a file of the user's, made if it is missing, to add lines to.

    Raises:
        OutputError: it cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, (_FLAGS & ~os.O_NOFOLLOW), 0o666)
    except (OSError, ValueError) as exc:
        why = (exc.strerror if isinstance(exc, OSError) else None) or exc
        raise OutputError(f"cannot write {path}: {why}", "choose another file with --log") from exc
    return os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace", buffering=1)


def send_to(log: TextIO) -> None:
    """Redirect what libraries print to an open file, if it is kept off the screen."""
    if _diverted:
        os.dup2(log.fileno(), 2)


def send_to_screen() -> None:
    """Show what libraries print."""
    if _diverted and _screen_descriptor is not None:
        os.dup2(_screen_descriptor, 2)


def add_file(file: Path) -> None:
    """Add what a child process printed to where libraries' output goes; at most its end."""
    if not _diverted:
        return
    with suppress(OSError), file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - KEPT_BYTES))
        os.write(2, stream.read(KEPT_BYTES))


def _screen() -> int | None:
    """Move `sys.stderr` to a duplicate of descriptor 2, and return the duplicate."""
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
    """Open the log file, cut if it is too long; the null device if it cannot be opened."""
    with suppress(OSError):
        file = get_path()
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
    with untrusted.open_regular(file) as old:
        old.seek(-KEPT_BYTES, os.SEEK_END)
        atomic.write_file(file, old.read())


def _divert_logging(screen: int | None) -> None:
    stream = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    handler = logging.StreamHandler(stream)
    line = f"%(asctime)s {os.getpid()} %(levelname)s %(name)s: %(message)s"
    handler.setFormatter(logging.Formatter(line))
    logging.getLogger().addHandler(handler)
    logging.captureWarnings(True)

    def record(name: str, *args: Any, **kwargs: Any) -> logging.LogRecord:  # Any: passed through
        _remove_consoles(logging.getLogger(name), (1, screen))
        return logging.LogRecord(name, *args, **kwargs)

    logging.setLogRecordFactory(record)


def _remove_consoles(logger: logging.Logger | None, consoles: Sequence[int | None]) -> None:
    """Remove the handlers that write a logger's records to a console, and let them propagate.

    Libraries add handlers of their own, for the stderr at the time of their import or later.
    """
    while logger is not None:
        for handler in list(logger.handlers):
            if _descriptor(getattr(handler, "stream", None)) in consoles:
                logger.removeHandler(handler)
                logger.propagate = True
        logger = logger.parent


def _descriptor(stream: object) -> int:
    try:
        return int(cast(TextIO, stream).fileno())  # the cast is unchecked: AttributeError is caught
    except (AttributeError, OSError, ValueError):
        return -1
