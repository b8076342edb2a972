"""The user's cache folder: what kit keeps there, how large it is, and how to remove it.

A kit that uses files of a kind where they are holds a shared lock on the kind's folder until it
ends; `clear_kind` needs the lock for itself. So nothing is removed below a running kit. Finished
bundles need no lock: they are copied before they are used, and the copy is checked.

Entries are removed by their names, which kit chose: what somebody else put there stays.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from kit.files import temporary


@dataclass(frozen=True)
class CacheKind:
    """Files of one kind.

    Attributes:
        summary: what they are, and what brings them back.
        entries: pattern of an entry's path below the folder.
        depth: folders between the kind's folder and its entries.
        variable: names another folder in the environment.
    """

    summary: str
    entries: re.Pattern[str]
    depth: int = 0
    variable: str = ""


_HEX = "[0-9a-f]"
KINDS = {
    "bundles": CacheKind(
        "finished bundles; kit build makes them again",
        re.compile(f"{_HEX}{{64}}"),
        variable="KIT_CACHE",
    ),
    "runners": CacheKind(
        "native runners; kit runner build makes them again",
        re.compile(rf"[\w.-]+/[\w.-]+-{_HEX}{{16}}"),
        depth=1,
    ),
    "wheels": CacheKind(
        "libraries and headers for native runners; fetched again",
        re.compile(rf"[\w.-]+-{_HEX}{{12}}"),
    ),
    "weights": CacheKind(
        "official weights; fetched again",
        re.compile(rf"[\w.-]+-{_HEX}{{8,64}}\.(pth|pt|bin|safetensors)"),
    ),
    "app": CacheKind(
        "Maven's files and tools that build the app; fetched again",
        re.compile(rf"maven|sdks|(?:aapt2|sign|sources)-{_HEX}{{12}}"),
    ),
}
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_held: dict[tuple[int, Path], int] = {}  # descriptors, which the kernel closes with the process


@dataclass(frozen=True)
class CacheUsage:
    """What a kind takes.

    Attributes:
        entries: how many bundles, runners, ….
        size: bytes on the disk.
        others: entries of the folder that are not kit's, or another user's.
    """

    kind: str
    folder: Path
    entries: int
    size: int
    others: int


class CacheInUse(Exception):
    """A running kit uses files of a kind."""


def find_folder(kind: str) -> Path:
    """Return the folder of a kind, which need not exist."""
    import platformdirs

    variable = KINDS[kind].variable
    named = os.environ.get(variable) if variable else None
    return Path(named) if named else platformdirs.user_cache_path("kit") / kind


def use_folder(kind: str, create: bool = False) -> Path:
    """Return the folder of a kind, and keep its files from `clear_kind` until this process ends.

    Args:
        kind: one of `KINDS`.
        create: it, if that is possible; whoever writes to it notices if it is not.
    """
    folder = find_folder(kind)
    if (os.getpid(), folder) not in _held:  # a child by fork has a parent that may end before it
        with suppress(OSError):
            if create:
                folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder, _FOLDER)
            with suppress(OSError):  # a file system without locks
                fcntl.flock(descriptor, fcntl.LOCK_SH)
            _held[os.getpid(), folder] = descriptor
    return folder


def measure_kind(kind: str) -> CacheUsage:
    """Return what a kind takes now; files that vanish meanwhile are left out."""
    folder = find_folder(kind)
    own, others = _split(kind, folder)
    return CacheUsage(kind, folder, len(own), sum(map(_measure, own)), len(others))


def clear_kind(kind: str) -> CacheUsage:
    """Remove all entries of a kind, and what killed kits left; return what was removed.

    An entry that cannot be removed is not counted.

    Raises:
        CacheInUse: a running kit uses the folder.
    """
    folder = find_folder(kind)
    with _alone(folder):
        for place in (folder, *(path for path in _list(folder) if KINDS[kind].depth)):
            if place.is_dir() and not place.is_symlink():
                temporary.sweep_folder(place)
        own, others = _split(kind, folder)
        removed = size = 0
        for entry in own:
            taken = _measure(entry)
            _remove(entry)
            if not os.path.lexists(entry):
                removed, size = removed + 1, size + taken
    return CacheUsage(kind, folder, removed, size, len(others))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    try:
        descriptor = os.open(folder, _FOLDER)
    except OSError:  # there is none
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as exc:
        raise CacheInUse from exc
    finally:
        os.close(descriptor)


def _split(kind: str, folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the entries that are kit's, and the others."""
    entries = _list(folder)
    if KINDS[kind].depth:
        inner = [e for e in entries if e.is_dir() and not e.is_symlink()]
        entries = [e for e in entries if e not in inner] + [e for i in inner for e in _list(i)]
    own: list[Path] = []
    others: list[Path] = []
    for entry in entries:
        name = entry.relative_to(folder).as_posix()
        (own if KINDS[kind].entries.fullmatch(name) and _is_ours(entry) else others).append(entry)
    return own, others


def _list(folder: Path) -> list[Path]:
    """Return what is in a folder, without the temporary names of kits that work there."""
    with suppress(OSError):
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    return []


def _is_ours(entry: Path) -> bool:
    with suppress(OSError):
        status = entry.lstat()
        return not stat.S_ISLNK(status.st_mode) and status.st_uid == os.geteuid()
    return False


def _measure(entry: Path) -> int:
    """Return the bytes of a file, or of all in a folder, on the disk; links are not followed."""
    total = 0
    with suppress(OSError):
        total = entry.lstat().st_blocks * 512  # st_blocks counts these, whatever the file system
        if entry.is_dir() and not entry.is_symlink():
            total += sum(_measure(path) for path in entry.iterdir())
    return total


def _remove(entry: Path) -> None:
    if entry.is_dir():
        temporary.remove_folder(entry)
    else:
        with suppress(OSError):
            entry.unlink()
