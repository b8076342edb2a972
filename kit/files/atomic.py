"""Atomic writes: a file or folder is complete under its name, or not there."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from io import BufferedRandom
from pathlib import Path

from kit.files.temporary import (
    DIRECTORY,
    create_part,
    lock_file,
    make_folder_beside,
    make_parents,
    name_beside,
    put_back,
    sweep_folder,
)
from kit.files.untrusted import name_kind


@contextmanager
def replace_file(path: Path) -> Iterator[BufferedRandom]:
    """Yield a file to write, which replaces `path` when the block ends without error.

    Missing parent folders are created, and removed after an error. A symbolic link at `path` is
    replaced, not followed.

    Raises:
        OSError: it cannot be written, or `path` exists and is not a file.
    """
    with make_parents(path):
        sweep_folder(path.parent)
        part, descriptor = create_part(path)
        with os.fdopen(descriptor, "w+b") as file:
            try:
                yield file
                file.flush()
                _replace(part, path)
            finally:
                with suppress(FileNotFoundError):
                    part.unlink()


def write_file(path: Path, content: bytes | str) -> None:
    """Write a file atomically; text is encoded in UTF-8.

    Raises:
        OSError: see `replace_file`.
    """
    write_files({path: content})


def write_files(contents: Mapping[Path, bytes | str], root: Path | None = None) -> None:
    """Write several files: none is replaced before all are written.

    Args:
        contents: by path.
        root: a folder that contains all of them. It may be a symbolic link, but no folder below
            it: those are kit's, so a link there is an attack.

    Raises:
        OSError: see `replace_file`. If one cannot be written, none is changed.
    """
    with ExitStack() as stack:
        for path, content in reversed(list(contents.items())):
            for folder in path.relative_to(root).parents if root else ():
                if root and (root / folder) != root and (root / folder).is_symlink():
                    raise OSError(errno.ELOOP, "it is a symbolic link", str(root / folder))
            file = stack.enter_context(replace_file(path))
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()


@contextmanager
def replace_folder(path: Path, check: Callable[[], None]) -> Iterator[Path]:
    """Yield an empty folder that replaces `path` when the block ends without error.

    The old folder at `path` is removed afterwards. If kit is killed in between, `restore_folder` or
    the next `sweep_folder` restores it. Of several concurrent writers, the last one wins.

    Args:
        path: of the folder.
        check: is called just before the swap; raises if `path` must not be replaced.

    Raises:
        OSError: it cannot be created or moved.
    """
    with make_folder_beside(path) as work:
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


def _replace(part: Path, path: Path) -> None:
    if path.exists() and not path.is_file():
        kind = name_kind(path.stat().st_mode)
        raise OSError(errno.EINVAL, f"it is {kind}, not a file", str(path))
    part.replace(path)


@contextmanager
def _set_aside(path: Path) -> Iterator[None]:
    """Rename a folder, if it exists; remove it afterwards, or restore it after an error."""
    try:
        lock = os.open(path, DIRECTORY)
    except FileNotFoundError:
        yield
        return
    old = name_beside(path, "old")
    try:
        lock_file(lock, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):  # another writer was faster
            path.rename(old)
        yield
    finally:
        put_back(old, path)
        shutil.rmtree(old, ignore_errors=True)
        os.close(lock)
