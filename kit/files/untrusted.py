"""Reading of untrusted files: a FIFO would block, and a device may never end."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from io import BufferedReader
from pathlib import Path


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading; never block on anything else.

    Raises:
        OSError: it cannot be opened, or is a folder, FIFO, socket or device.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, f"it is {name_kind(mode)}, not a file", str(path))
    return os.fdopen(descriptor, "rb")


def read_file(path: Path, limit: int) -> bytes:
    """Return the content of a regular file of up to `limit` bytes.

    Raises:
        OSError: see `open_regular`; or it is larger.
    """
    with open_regular(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"it is larger than {limit} bytes", str(path))
    return content


def copy_contents(source: Path, target: Path) -> None:
    """Copy the contents of a file, or of a folder and all that is in it, without permissions.

    Raises:
        OSError: something cannot be read or written.
    """
    if not source.is_dir():
        shutil.copyfile(source, target)
        return
    target.mkdir()
    for entry in sorted(source.iterdir()):
        copy_contents(entry, target / entry.name)


def measure_file(path: Path) -> tuple[int, str]:
    """Return size in bytes and SHA-256, in hexadecimal, of a regular file.

    Raises:
        OSError: see `open_regular`.
    """
    with open_regular(path) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


def name_kind(mode: int) -> str:
    """Return what a file that is not regular is, by its mode, for messages."""
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISFIFO(mode):
        return "a FIFO"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"
