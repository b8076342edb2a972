"""Writing to stdout and stderr: a closed pipe or a full disk becomes one of kit's errors."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from kit.errors import OutputError


class ReaderGone(Exception):
    """The reader of kit's output has closed the pipe."""


def map_failure(exc: OSError, stream: TextIO | None = None) -> ReaderGone | OutputError:
    """Map an error of writing to a stream, stdout if None."""
    if isinstance(exc, BrokenPipeError):
        return ReaderGone()
    return OutputError(
        f"cannot write to {_name(stream or sys.stdout)}: {exc.strerror or exc}",
        "make space there, or send the output elsewhere",
    )


def _name(stream: TextIO) -> str:
    """Return the name of the stream, with its file if the system reports it."""
    name = "stderr" if stream is sys.stderr else "stdout"
    try:
        return f"{name} ({Path(f'/proc/self/fd/{stream.fileno()}').readlink()})"
    except (OSError, ValueError):
        return name


def flush_streams() -> None:
    """Flush stdout and stderr, so that failures are noticed.

    Raises:
        ReaderGone: a pipe is closed.
        OutputError: something cannot be written.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            CheckedStream(stream).flush()


def abandon_streams() -> None:
    """Redirect stdout and stderr to the null device, so that Python's final flush succeeds."""
    for stream in (sys.stdout, sys.stderr):
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
        except (OSError, ValueError, AttributeError):  # closed, None, or without a descriptor
            continue


class CheckedStream:
    """A stream whose write errors are mapped to kit's errors."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def write_all(self, text: str) -> None:
        """Write and flush."""
        self.write(text)
        self.flush()

    def write(self, text: str) -> int:
        """Write text; characters that the stream's encoding lacks become question marks."""
        with self._mapped():
            try:
                return self._stream.write(text)
            except UnicodeEncodeError:
                encoding = self._stream.encoding or "ascii"
                return self._stream.write(text.encode(encoding, "replace").decode(encoding))

    def flush(self) -> None:
        """Flush."""
        with self._mapped():
            self._stream.flush()

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise map_failure(exc, self._stream) from exc
