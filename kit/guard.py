"""Run the user's code without lasting effects on this process.

A user's model is a program. It may print, change the working directory or the import path, close
stdout, or raise a `BaseException`. `run_user_code` handles all of these: output goes to stderr,
exceptions become one sentence, and changes are undone. Ctrl-C interrupts kit even if the code
catches it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import sysconfig
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any, TextIO, cast

from kit.error_text import describe_exception, find_origin
from kit.errors import KitError, RecipeError

_DEBUG = "KIT_DEBUG=1 shows the traceback"
# Type of `signal.getsignal`, which is annotated with Any.
_Handler = Callable[[int, FrameType | None], Any] | int | None
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class _Place:
    """Changes by the code in a folder, which are applied again when it runs next.

    Attributes:
        path: folders that it added to the import path.
        directory: the working directory that it set; None if it set none.
    """

    path: list[str] = field(default_factory=list)
    directory: str | None = None


_places: dict[Path, _Place] = {}


@contextmanager
def run_user_code(what: str, folder: Path, mixed: bool = False) -> Iterator[None]:
    """Run the user's code; modules in `folder` can be imported meanwhile.

    Args:
        what: beginning of the error message, if an exception is raised.
        folder: of the user's file.
        mixed: kit's own code runs in the block too. Its exceptions are not mapped, and the
            working directory stays kit's.

    Raises:
        RecipeError: the user's code raised an exception; the message has file and line.
        KeyboardInterrupt: a signal to end kit was received.
    """
    with ExitStack() as stack:
        received = stack.enter_context(_signals())
        stack.enter_context(keep_stdout())
        stack.enter_context(_surroundings(folder, enter=not mixed))
        try:
            yield
        except BaseException as exc:
            if received:
                raise _interruption(received) from exc
            if isinstance(exc, KitError) or (mixed and _is_ours(exc, folder)):
                raise
            where = find_origin(exc)
            text = f"{what}: {describe_exception(exc)}" + (f" ({where})" if where else "")
            raise RecipeError(text, _DEBUG) from exc
        if received:  # and the code caught the exception
            raise _interruption(received)


def _is_ours(exc: BaseException, folder: Path) -> bool:
    """Return whether no frame of the user's code is in an exception's traceback."""
    if not isinstance(exc, Exception):
        return False
    frames = traceback.extract_tb(exc.__traceback__)
    return not any(is_own(Path(frame.filename), folder) for frame in frames)


def is_own(file: Path, folder: Path) -> bool:
    """Return whether a file is in the user's folder, and is not an installed package."""
    return file.is_relative_to(folder) and not any(file.is_relative_to(a) for a in _apart())


@cache
def _apart() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    installed = (Path(paths[name]) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    return (*installed, Path(__file__).parent)


def _interruption(received: list[int]) -> KeyboardInterrupt:
    return KeyboardInterrupt(128 + received[0])


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Yield a list that collects received termination signals; restore handlers afterwards."""
    received: list[int] = []
    before: dict[signal.Signals, _Handler] = {}

    def noting(
        handler: Callable[[int, FrameType | None], object],
    ) -> Callable[[int, FrameType | None], object]:
        def note(number: int, frame: FrameType | None) -> object:
            received.append(number)
            return handler(number, frame)

        return note

    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in _ENDINGS}
    for number, handler in before.items():
        if callable(handler):
            signal.signal(number, noting(handler))
    try:
        yield received
    finally:
        for number, handler in before.items():
            if handler is not None:  # None: it was not set by Python
                signal.signal(number, handler)


class _Borrowed:
    """A stream that its user cannot close."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def close(self) -> None:
        """Flush only: others write to the stream."""
        self._stream.flush()

    def detach(self) -> None:
        """Refuse: see `close`."""
        raise OSError("this stream is shared")

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


@contextmanager
def keep_stdout() -> Iterator[None]:
    """Redirect stdout to stderr, for Python and native code, and keep both open."""
    out, err = sys.stdout, sys.stderr
    with suppress(AttributeError, OSError, ValueError):  # a stream that is closed or None
        out.flush()
    kept = {number: _duplicate(number) for number in (1, 2)}
    target = _descriptor(err)
    if kept[1] is not None and target is not None:
        os.dup2(target, 1)
    if err is not None:
        sys.stdout = sys.stderr = cast(TextIO, _Borrowed(err))
    try:
        yield
    finally:
        with suppress(AttributeError, OSError, ValueError):
            err.flush()
        _flush_c()
        for number, copy in kept.items():
            if copy is not None:
                with suppress(OSError):  # the user's code may have closed the copy
                    os.dup2(copy, number)
                    os.close(copy)
        sys.stdout, sys.stderr = _open(out, 1), _open(err, 2)


def _duplicate(number: int) -> int | None:
    """Return a duplicate of a descriptor above 100, because programs may close lower ones."""
    import fcntl

    try:
        return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 100)
    except OSError:
        return None


def _descriptor(stream: TextIO | None) -> int | None:
    try:
        return 2 if stream is None else stream.fileno()
    except (OSError, ValueError):  # a stream without a descriptor, as tests have it
        return 2


def _open(stream: TextIO, number: int) -> TextIO:
    """Return a stream, or a new one on its descriptor if it was closed."""
    if stream is None or not stream.closed:
        return stream
    try:
        return os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    except OSError:
        return stream


def _flush_c() -> None:
    """Flush C's stdout while its descriptor still leads to stderr."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).fflush(None)


@contextmanager
def _surroundings(folder: Path, enter: bool) -> Iterator[None]:
    """Add the user's folders to the import path; restore path and working directory afterwards."""
    place = _places.setdefault(folder, _Place())
    path, before = sys.path, list(sys.path)
    here, back = _here(), _directory()
    initial = {str(folder), *place.path, *(_absolute(p, here) for p in before)}
    if enter and place.directory is not None:
        with suppress(OSError):  # it has been removed
            os.chdir(place.directory)
    path[:] = [str(folder), *place.path, *before]
    began = _here()
    try:
        yield
    finally:
        after, now = sys.path, _here()
        if isinstance(after, list):
            added = [_absolute(p, now) for p in after if isinstance(p, str) and p]
            place.path += [p for p in dict.fromkeys(added) if p not in initial]
        if now is not None and now != began:
            place.directory = now
        if back is not None:
            _go_back(back, here)
        # Modules may import on first use, so the folders stay on the path: at its end, where they
        # shadow nothing.
        own = [str(folder), *place.path]
        sys.path = path
        path[:] = [*before, *(p for p in own if p not in before)]


def _absolute(folder: str, here: str | None) -> str:
    """Return an entry of the import path as an absolute path."""
    return str(Path(here or "/", folder))


def _go_back(back: int, here: str | None) -> None:
    """Return to a working directory: by its path if the user's code closed the descriptor."""
    try:
        os.fchdir(back)
        os.close(back)
    except OSError:
        if here is not None:
            with suppress(OSError):  # it has been removed
                os.chdir(here)


def _directory() -> int | None:
    try:
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # it has been removed, or cannot be read
        return None


def _here() -> str | None:
    try:
        return str(Path.cwd())
    except OSError:
        return None
