"""The part of Android's classes that an app can reach: the rest is not worth reading.

TraceReferences and R8 read all of a library before they begin, which for Android's 100,000
entries takes longer than everything else of a build. What they ask the library for is a class
that the app names, or one above that, where a member is inherited from.
"""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

_NAME = re.compile(rb"[\w$/-]+")
# Bytes of each kind of entry in a class file's pool of constants, by its tag; text has its own.
_SIZES = {3: 4, 4: 4, 5: 8, 6: 8, 7: 2, 8: 2, 9: 4, 10: 4, 11: 4, 12: 4, 15: 3, 16: 2} | {
    17: 4, 18: 4, 19: 2, 20: 2
}  # fmt: skip
_TEXT, _CLASS, _WIDE = 1, 7, (5, 6)


def write(codes: Iterable[Path], library: Path, target: Path) -> set[str]:
    """Copy the classes of a library that code names, and all that they inherit from.

    Args:
        codes: APKs, jars or dex files.
        library: a jar.
        target: the jar that is written.

    Returns:
        The classes that the copied ones name and that are left out, which no code names, as
        ``a.b.C``.
    """
    with zipfile.ZipFile(library) as source, zipfile.ZipFile(target, "w") as out:
        entries = set(source.namelist())
        written: set[str] = set()
        named: set[str] = set()
        ahead = {name for code in codes for data in _contents(code) for name in find_names(data)}
        while ahead:
            name = ahead.pop()
            file = f"{name}.class"
            if name not in written and file in entries:
                written.add(name)
                data = source.read(file)
                out.writestr(zipfile.ZipInfo(file), data)
                ahead |= set(find_supertypes(data))
                named |= set(find_names(data))
    return {name.replace("/", ".") for name in named - written if f"{name}.class" in entries}


def _contents(code: Path) -> Iterator[bytes]:
    if not zipfile.is_zipfile(code):
        yield code.read_bytes()
        return
    with zipfile.ZipFile(code) as archive:
        for name in archive.namelist():
            if name.endswith((".dex", ".class")):
                yield archive.read(name)


def find_names(data: bytes) -> Iterator[str]:
    """Return all that may be the name of a class in a dex or class file, and more.

    A name stands alone (``a/B``), or in a descriptor (``(ILa/B;)V``), and the byte before it,
    which has its length, may be a letter.
    """
    for token in set(_NAME.findall(data)):
        if b"/" in token:
            text = token.decode("ascii", errors="replace")
            yield text
            yield text[1:]
            yield from (text[at + 1 :] for at, letter in enumerate(text) if letter == "L")


def find_supertypes(data: bytes) -> Iterable[str]:
    """Return the names of a class file's superclass and interfaces."""
    (count,) = struct.unpack_from(">H", data, 8)
    texts: dict[int, str] = {}
    classes: dict[int, int] = {}
    offset, index = 10, 1
    while index < count:
        tag = data[offset]
        if tag == _TEXT:
            (length,) = struct.unpack_from(">H", data, offset + 1)
            texts[index] = data[offset + 3 : offset + 3 + length].decode(errors="replace")
            offset += 3 + length
        else:
            if tag == _CLASS:
                (classes[index],) = struct.unpack_from(">H", data, offset + 1)
            offset += 1 + _SIZES[tag]
        index += 2 if tag in _WIDE else 1
    super_class, interfaces = struct.unpack_from(">HH", data, offset + 4)
    above = [super_class, *struct.unpack_from(f">{interfaces}H", data, offset + 8)]
    return [texts[classes[at]] for at in above if at]  # java.lang.Object has nothing above it
