"""What a shared library says about itself: 64-bit little-endian ELF, read with `struct`.

https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html and, for versions of symbols,
https://refspecs.linuxfoundation.org/LSB_5.0.0/LSB-Core-generic/LSB-Core-generic/symversion.html
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kit.errors import BuildError

_DYNAMIC, _DYNSYM, _VERSYM, _VERNEED = 6, 11, 0x6FFFFFFF, 0x6FFFFFFE  # types of sections
_NEEDED, _SONAME = 1, 14  # tags of dynamic entries
_LOAD = 1  # type of a program header
_GLIBC = re.compile(rb"GLIBC_(\d+)\.(\d+)(?:\.\d+)?\x00")


@dataclass(frozen=True)
class Elf:
    """A shared library or program.

    Attributes:
        needed: names of the libraries it asks for.
        soname: the name under which it is asked for, None where it has none.
        alignment: least alignment of its loaded parts in bytes: the largest page it fits.
        glibc: highest version of glibc whose symbols it names, (0, 0) for none.
        wanted: by library, the symbols that it takes from there, each with its version.
    """

    needed: tuple[str, ...]
    soname: str | None
    alignment: int
    glibc: tuple[int, int]
    wanted: dict[str, dict[str, str]]


@dataclass(frozen=True)
class _Section:
    kind: int
    offset: int
    size: int
    link: int


def is_elf(path: Path) -> bool:
    """Return whether a file begins like a 64-bit little-endian ELF file."""
    with path.open("rb") as file:
        return file.read(6) == b"\x7fELF\x02\x01"


def read(path: Path) -> Elf:
    """Read the dynamic part of a file.

    Raises:
        BuildError: it is no such file, or damaged.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[:6] != b"\x7fELF\x02\x01":
                raise ValueError("it is no 64-bit little-endian ELF file")
            return _read(data)
    except (struct.error, ValueError, IndexError, KeyError) as exc:
        raise BuildError(
            f"{path} is no library that can be read: {exc}", "fetch or build it again"
        ) from exc


def _read(data: mmap.mmap) -> Elf:
    sections = list(_sections(data))
    dynamic = next((s for s in sections if s.kind == _DYNAMIC), None)
    if dynamic is None:
        raise ValueError("it is linked statically")
    strings = sections[dynamic.link]
    entries = list(_entries(data, dynamic))
    names = [_text(data, strings, value) for tag, value in entries if tag == _SONAME]
    found = _GLIBC.findall(data[strings.offset : strings.offset + strings.size])
    return Elf(
        needed=tuple(_text(data, strings, value) for tag, value in entries if tag == _NEEDED),
        soname=names[0] if names else None,
        alignment=min(_alignments(data)),
        glibc=max(((int(a), int(b)) for a, b in found), default=(0, 0)),
        wanted=_wanted(data, sections),
    )


def _sections(data: mmap.mmap) -> Iterator[_Section]:
    (begin,) = struct.unpack_from("<Q", data, 0x28)
    size, count = struct.unpack_from("<HH", data, 0x3A)
    for index in range(count):
        at = begin + index * size
        (kind,) = struct.unpack_from("<I", data, at + 4)
        offset, length, link = struct.unpack_from("<QQI", data, at + 24)
        yield _Section(kind, offset, length, link)


def _alignments(data: mmap.mmap) -> Iterator[int]:
    (begin,) = struct.unpack_from("<Q", data, 0x20)
    size, count = struct.unpack_from("<HH", data, 0x36)
    for index in range(count):
        at = begin + index * size
        if struct.unpack_from("<I", data, at)[0] == _LOAD:
            yield struct.unpack_from("<Q", data, at + 48)[0]


def _entries(data: mmap.mmap, dynamic: _Section) -> Iterator[tuple[int, int]]:
    for at in range(dynamic.offset, dynamic.offset + dynamic.size, 16):
        tag, value = struct.unpack_from("<qQ", data, at)
        if tag == 0:
            return
        yield tag, value


def _text(data: mmap.mmap, strings: _Section, at: int) -> str:
    begin = strings.offset + at
    return data[begin : data.find(b"\x00", begin)].decode()


def _wanted(data: mmap.mmap, sections: list[_Section]) -> dict[str, dict[str, str]]:
    """Return the versioned symbols that are taken from each library."""
    by_kind = {s.kind: s for s in sections if s.kind in (_DYNSYM, _VERSYM, _VERNEED)}
    if len(by_kind) < 3:
        return {}
    symbols, versions, needs = (by_kind[kind] for kind in (_DYNSYM, _VERSYM, _VERNEED))
    origin = dict(_version_origins(data, needs, sections[needs.link]))
    strings = sections[symbols.link]
    found: dict[str, dict[str, str]] = {}
    for index in range(1, symbols.size // 24):
        (version,) = struct.unpack_from("<H", data, versions.offset + 2 * index)
        if version & 0x7FFF not in origin:
            continue
        library, name = origin[version & 0x7FFF]
        (at,) = struct.unpack_from("<I", data, symbols.offset + 24 * index)
        found.setdefault(library, {})[_text(data, strings, at)] = name
    return found


def _version_origins(
    data: mmap.mmap, needs: _Section, strings: _Section
) -> Iterator[tuple[int, tuple[str, str]]]:
    """Yield (number, (library, version)) of each version that is asked for."""
    at, more = needs.offset, True
    while more:
        _, count, file, first, step = struct.unpack_from("<HHIII", data, at)
        library, entry = _text(data, strings, file), at + first
        for _ in range(count):
            _, _, number, name, after = struct.unpack_from("<IHHII", data, entry)
            yield number, (library, _text(data, strings, name))
            entry += after
        at, more = at + step, step != 0
