"""Temporary files and folders, atomic writes, and safe reading.

All temporary files and folders of kit are created here: with random names, exclusively, never
through a symbolic link, and with permissions by the umask. The owner holds a lock (flock(2)),
which the kernel releases however the owner ends. So the next kit in the same folder recognizes
leftovers by the missing lock: it removes them, and restores what was moved away in an unfinished
swap. See `sweep`.

Open untrusted files with `open_regular`: a FIFO would block, and a device may never end.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from io import BufferedRandom, BufferedReader
from pathlib import Path
from typing import IO

_PART = re.compile(r"\.(.+)\.kit-[0-9a-f]{16}\.part", re.DOTALL)
_OLD = re.compile(r"\.(.+)\.kit-[0-9a-f]{16}\.old", re.DOTALL)
_TEMPORARY = re.compile(r"kit-[0-9a-f]{16}")
_SWAP_SECONDS = 2.0  # timeout for another process's swap, which takes far less
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PRIVATE, _SHARED = 0o700, 0o777  # modes of folders, before the umask


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield an empty folder for this user only, which is removed when the block ends.

    It is created in ``$TMPDIR``, where folders of dead owners are removed first.

    Raises:
        OSError: it cannot be created.
    """
    root = temporary_root()
    sweep(root)
    path, lock = _new_folder(lambda: root / f"kit-{secrets.token_hex(8)}", _PRIVATE)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def temporary_root() -> Path:
    """Return the folder for temporary files: ``$TMPDIR``, or the system's."""
    return Path(tempfile.gettempdir())


def nameless_file() -> IO[bytes]:
    """Return a new file without a name, which the kernel removes when it is closed.

    Raises:
        OSError: it cannot be created in the folder for temporary files.
    """
    return tempfile.TemporaryFile()


@contextmanager
def replacing_file(path: Path) -> Iterator[BufferedRandom]:
    """Yield a file to write, which replaces `path` when the block ends without error.

    Missing parent folders are created. A symbolic link at `path` is replaced, not followed.

    Raises:
        OSError: it cannot be written, or `path` exists and is not a file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    part, descriptor = create_part(path)
    with os.fdopen(descriptor, "w+b") as file:
        try:
            yield file
            file.flush()
            _replace(part, path)
        finally:
            with suppress(FileNotFoundError):
                part.unlink()


def write(path: Path, content: bytes | str) -> None:
    """Write a file atomically; text is encoded in UTF-8.

    Raises:
        OSError: see `replacing_file`.
    """
    write_all({path: content})


def write_all(contents: Mapping[Path, bytes | str], root: Path | None = None) -> None:
    """Write several files: none is replaced before all are written.

    Args:
        contents: by path.
        root: a folder that contains all of them. It may be a symbolic link, but no folder below
            it: those are kit's, so a link there is an attack.

    Raises:
        OSError: see `replacing_file`. If one cannot be written, none is changed.
    """
    with ExitStack() as stack:
        for path, content in reversed(list(contents.items())):
            for folder in path.relative_to(root).parents if root else ():
                if root and (root / folder) != root and (root / folder).is_symlink():
                    raise OSError(errno.ELOOP, "it is a symbolic link", str(root / folder))
            file = stack.enter_context(replacing_file(path))
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()


@contextmanager
def folder_beside(path: Path, private: bool = False) -> Iterator[Path]:
    """Yield an empty folder on the file system of `path`, which is removed when the block ends.

    Args:
        path: a file or folder beside which it is created.
        private: other users cannot read it.

    Raises:
        OSError: it cannot be created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    work, lock = _new_folder(lambda: _beside(path, "part"), _PRIVATE if private else _SHARED)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)  # unless it was moved away
        os.close(lock)


@contextmanager
def replacing_folder(path: Path, check: Callable[[], None]) -> Iterator[Path]:
    """Yield an empty folder that replaces `path` when the block ends without error.

    The old folder at `path` is removed afterwards. If kit is killed in between, `restore` or the
    next `sweep` restores it. Of several concurrent writers, the last one wins.

    Args:
        path: of the folder.
        check: is called just before the swap; raises if `path` must not be replaced.

    Raises:
        OSError: it cannot be created or moved.
    """
    with folder_beside(path) as work:
        yield work
        while True:
            check()
            with _set_aside(path):
                try:
                    work.rename(path)
                    return
                except OSError as exc:
                    # Another writer has put its folder there.
                    if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                        raise


def restore(path: Path) -> bool:
    """Restore a folder that a killed kit had moved away; return whether `path` exists.

    Waits for another process's swap to end.
    """
    deadline = time.monotonic() + _SWAP_SECONDS
    while not os.path.lexists(path):
        pending = [entry for entry in _entries(path.parent) if _is_old(entry, path)]
        if not pending or time.monotonic() > deadline:
            return False
        for entry in pending:
            _sweep_entry(entry)
        time.sleep(0.01)
    return True


def sweep(folder: Path) -> None:
    """Remove the leftovers of dead owners in a folder, and restore what they had moved away.

    Only entries of this user with kit's names and without a lock are touched. Entries that cannot
    be removed are ignored: that is no failure of this run.
    """
    for entry in _entries(folder):
        if any(kind.fullmatch(entry.name) for kind in (_PART, _OLD, _TEMPORARY)):
            _sweep_entry(entry)


def remove_folder(path: Path) -> None:
    """Remove a folder atomically: it is renamed first.

    A folder that cannot be renamed stays; one that cannot be deleted is left to `sweep`.
    """
    away = _beside(path, "part")
    with suppress(OSError):
        path.rename(away)
        shutil.rmtree(away, ignore_errors=True)


def clear(folder: Path) -> None:
    """Remove everything in a folder; entries that cannot be removed are ignored."""
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            with suppress(OSError):
                Path(entry.path).unlink()


def check_writable(folder: Path) -> None:
    """Raise OSError unless a file can be created in a folder; no file is left there."""
    tempfile.TemporaryFile(dir=folder).close()


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading; never block on anything else.

    Raises:
        OSError: it cannot be opened, or is a folder, FIFO, socket or device.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, f"it is {_kind(mode)}, not a file", str(path))
    return os.fdopen(descriptor, "rb")


def read(path: Path, limit: int) -> bytes:
    """Return the content of a regular file of up to `limit` bytes.

    Raises:
        OSError: see `open_regular`; or it is larger.
    """
    with open_regular(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"it is larger than {limit} bytes", str(path))
    return content


def copy(source: Path, target: Path) -> None:
    """Copy the contents of a file, or of a folder and all that is in it, without permissions.

    Raises:
        OSError: something cannot be read or written.
    """
    if not source.is_dir():
        shutil.copyfile(source, target)
        return
    target.mkdir()
    for entry in sorted(source.iterdir()):
        copy(entry, target / entry.name)


def measure(path: Path) -> tuple[int, str]:
    """Return size in bytes and SHA-256, in hexadecimal, of a regular file.

    Raises:
        OSError: see `open_regular`.
    """
    with open_regular(path) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


def _beside(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.kit-{secrets.token_hex(8)}.{kind}")


def create_part(path: Path) -> tuple[Path, int]:
    """Create a new file beside another, under a temporary name; return path and descriptor."""
    while True:
        part = _beside(path, "part")
        descriptor = os.open(part, _NEW_FILE, 0o666)
        _lock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return part, descriptor
        os.close(descriptor)  # another kit removed it before it was locked


def _new_folder(choose: Callable[[], Path], mode: int) -> tuple[Path, int]:
    while True:
        path = choose()
        path.mkdir(mode)
        with suppress(FileNotFoundError):  # another kit removed it before it was locked: try again
            descriptor = os.open(path, _DIRECTORY)
            _lock(descriptor, fcntl.LOCK_EX)
            if os.path.lexists(path):
                return path, descriptor
            os.close(descriptor)


def _lock(descriptor: int, how: int) -> bool:
    """Lock a file; return False if another process holds the lock or there are no locks.

    On file systems without locks (some network file systems) `sweep` removes nothing.
    """
    try:
        fcntl.flock(descriptor, how)
    except OSError:
        return False
    return True


def _replace(part: Path, path: Path) -> None:
    if path.exists() and not path.is_file():
        kind = _kind(path.stat().st_mode)
        raise OSError(errno.EINVAL, f"it is {kind}, not a file", str(path))
    part.replace(path)


@contextmanager
def _set_aside(path: Path) -> Iterator[None]:
    """Rename a folder, if it exists; remove it afterwards, or restore it after an error."""
    try:
        lock = os.open(path, _DIRECTORY)
    except FileNotFoundError:
        yield
        return
    old = _beside(path, "old")
    try:
        _lock(lock, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):  # another writer was faster
            path.rename(old)
        yield
    finally:
        _put_back(old, path)
        shutil.rmtree(old, ignore_errors=True)
        os.close(lock)


def _put_back(old: Path, path: Path) -> None:
    if not os.path.lexists(path):
        with suppress(OSError):  # it was not moved, or another writer was faster
            old.rename(path)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _is_old(entry: os.DirEntry[str], path: Path) -> bool:
    match = _OLD.fullmatch(entry.name)
    return match is not None and match[1] == path.name


def _sweep_entry(entry: os.DirEntry[str]) -> None:
    path = Path(entry.path)
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if status.st_uid == os.geteuid() and _lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB):
                _remove(path, stat.S_ISDIR(status.st_mode))
        finally:
            os.close(descriptor)


def _remove(path: Path, is_folder: bool) -> None:
    old = _OLD.fullmatch(path.name)
    if old is not None:
        _put_back(path, path.with_name(old[1]))
    if is_folder:
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISFIFO(mode):
        return "a FIFO"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"
