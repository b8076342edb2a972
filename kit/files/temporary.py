"""Temporary files and folders.

All temporary files and folders of kit are created here: with random names, exclusively, never
through a symbolic link, and with permissions by the umask. The owner holds a lock (flock(2)),
which the kernel releases however the owner ends. So the next kit in the same folder recognizes
leftovers by the missing lock: it removes them, and restores what was moved away in an unfinished
swap. See `sweep_folder`.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_PART = re.compile(r"\.(.+)\.kit-[0-9a-f]{16}\.part", re.DOTALL)
_OLD = re.compile(r"\.(.+)\.kit-[0-9a-f]{16}\.old", re.DOTALL)
_TEMPORARY = re.compile(r"kit-[0-9a-f]{16}")
_SWAP_SECONDS = 2.0  # timeout for another process's swap, which takes far less
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PRIVATE, _SHARED = 0o700, 0o777  # modes of folders, before the umask


@contextmanager
def make_folder() -> Iterator[Path]:
    """Yield an empty folder for this user only, which is removed when the block ends.

    It is created in ``$TMPDIR``, where folders of dead owners are removed first.

    Raises:
        OSError: it cannot be created.
    """
    root = find_root()
    sweep_folder(root)
    path, lock = _new_folder(lambda: root / f"kit-{secrets.token_hex(8)}", _PRIVATE)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def find_root() -> Path:
    """Return the folder for temporary files: ``$TMPDIR``, or the system's."""
    return Path(tempfile.gettempdir())


def open_nameless() -> IO[bytes]:
    """Return a new file without a name, which the kernel removes when it is closed.

    Raises:
        OSError: it cannot be created in the folder for temporary files.
    """
    return tempfile.TemporaryFile()


@contextmanager
def make_folder_beside(path: Path, private: bool = False) -> Iterator[Path]:
    """Yield an empty folder on the file system of `path`, which is removed when the block ends.

    Args:
        path: a file or folder beside which it is created.
        private: other users cannot read it.

    Raises:
        OSError: it cannot be created.
    """
    with make_parents(path):
        sweep_folder(path.parent)
        mode = _PRIVATE if private else _SHARED
        work, lock = _new_folder(lambda: name_beside(path, "part"), mode)
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)  # unless it was moved away
            os.close(lock)


@contextmanager
def make_parents(path: Path) -> Iterator[None]:
    """Create the missing folders above a path; remove them, if empty, after an error in the block.

    Raises:
        OSError: one cannot be created.
    """
    missing = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for folder in missing:
            with suppress(OSError):  # it holds something, or was not created
                folder.rmdir()
        raise


def restore_folder(path: Path) -> bool:
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


def sweep_folder(folder: Path) -> None:
    """Remove the leftovers of dead owners in a folder, and restore what they had moved away.

    Only entries of this user with kit's names and without a lock are touched. Entries that cannot
    be removed are ignored: that is no failure of this run.
    """
    for entry in _entries(folder):
        if any(kind.fullmatch(entry.name) for kind in (_PART, _OLD, _TEMPORARY)):
            _sweep_entry(entry)


def remove_folder(path: Path) -> None:
    """Remove a folder atomically: it is renamed first.

    A folder that cannot be renamed stays; one that cannot be deleted is left to `sweep_folder`.
    """
    away = name_beside(path, "part")
    with suppress(OSError):
        path.rename(away)
        shutil.rmtree(away, ignore_errors=True)


def clear_folder(folder: Path) -> None:
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


def name_beside(path: Path, kind: str) -> Path:
    """Return a new temporary path beside another; `kind` is ``part`` or ``old``."""
    return path.with_name(f".{path.name}.kit-{secrets.token_hex(8)}.{kind}")


def create_part(path: Path) -> tuple[Path, int]:
    """Create a new file beside another, under a temporary name; return path and descriptor."""
    while True:
        part = name_beside(path, "part")
        descriptor = os.open(part, _NEW_FILE, 0o666)
        lock_file(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return part, descriptor
        os.close(descriptor)  # another kit removed it before it was locked


def _new_folder(choose: Callable[[], Path], mode: int) -> tuple[Path, int]:
    while True:
        path = choose()
        path.mkdir(mode)
        with suppress(FileNotFoundError):  # another kit removed it before it was locked: try again
            descriptor = os.open(path, DIRECTORY)
            lock_file(descriptor, fcntl.LOCK_EX)
            if os.path.lexists(path):
                return path, descriptor
            os.close(descriptor)


def lock_file(descriptor: int, how: int) -> bool:
    """Lock a file; return False if another process holds the lock or there are no locks.

    On file systems without locks (some network file systems) `sweep_folder` removes nothing.
    """
    try:
        fcntl.flock(descriptor, how)
    except OSError:
        return False
    return True


def put_back(old: Path, path: Path) -> None:
    """Move a folder back that was moved away, unless something is in its place."""
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
            if status.st_uid == os.geteuid() and lock_file(
                descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB
            ):
                _remove(path, stat.S_ISDIR(status.st_mode))
        finally:
            os.close(descriptor)


def _remove(path: Path, is_folder: bool) -> None:
    old = _OLD.fullmatch(path.name)
    if old is not None:
        put_back(path, path.with_name(old[1]))
    if is_folder:
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
