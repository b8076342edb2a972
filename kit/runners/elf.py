"""Read metadata of shared libraries with pyelftools: 64-bit little-endian ELF.

https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html and, for versions of symbols,
https://refspecs.linuxfoundation.org/LSB_5.0.0/LSB-Core-generic/LSB-Core-generic/symversion.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import BuildError

if TYPE_CHECKING:
    from elftools.elf.elffile import ELFFile
    from elftools.elf.gnuversions import VersionAuxiliary

_MAGIC = b"\x7fELF\x02\x01"
_GLIBC = re.compile(r"GLIBC_(\d+)\.(\d+)(?:\.\d+)?")
_VERSION_BITS = 0x7FFF  # of an entry of .gnu.version; the other bit hides the symbol


@dataclass(frozen=True)
class Elf:
    """A shared library or program.

    Attributes:
        needed: names of required libraries.
        soname: name by which other files require it, None if it has none.
        alignment: minimum alignment of its loaded parts in bytes: the largest page it fits.
        glibc: highest version of glibc whose symbols it needs, (0, 0) for none.
    """

    needed: tuple[str, ...]
    soname: str | None
    alignment: int
    glibc: tuple[int, int]


def is_elf(path: Path) -> bool:
    """Return whether a file has the magic of a 64-bit little-endian ELF file."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def read_elf(path: Path) -> Elf:
    """Read the dynamic part of a file.

    Raises:
        BuildError: it is no such file, it is linked statically, or it is damaged.
    """
    with _opened(path) as elf:
        dynamic = elf.get_section_by_name(".dynamic")
        if dynamic is None:
            raise ValueError("it is linked statically")
        sonames = [tag.soname for tag in dynamic.iter_tags("DT_SONAME")]
        versions = [_GLIBC.fullmatch(entry.name) for _, entry in _needed_versions(elf)]
        return Elf(
            needed=tuple(tag.needed for tag in dynamic.iter_tags("DT_NEEDED")),
            soname=sonames[0] if sonames else None,
            alignment=min(part["p_align"] for part in elf.iter_segments("PT_LOAD")),
            glibc=max(((int(m[1]), int(m[2])) for m in versions if m), default=(0, 0)),
        )


def read_needed_symbols(path: Path) -> dict[str, dict[str, str]]:
    """Return the versioned symbols that a file imports from each library: name and version.

    Raises:
        BuildError: it is no ELF file, or it is damaged.
    """
    with _opened(path) as elf:
        origins = {entry["vna_other"]: (lib, entry.name) for lib, entry in _needed_versions(elf)}
        symbols: dict[str, dict[str, str]] = {}
        versions = elf.get_section_by_name(".gnu.version")
        for symbol in versions.iter_symbols() if versions else ():
            number = symbol["ndx"]  # a word for those that are local or global
            origin = origins.get(number & _VERSION_BITS) if isinstance(number, int) else None
            if origin is not None:
                library, version = origin
                symbols.setdefault(library, {})[symbol.name] = version
    return symbols


def _needed_versions(elf: ELFFile) -> Iterator[tuple[str, VersionAuxiliary]]:
    """Yield (library, version) of each version of symbols that is needed."""
    section = elf.get_section_by_name(".gnu.version_r")
    for library, entries in section.iter_versions() if section else ():
        yield from ((library.name, entry) for entry in entries)


@contextmanager
def _opened(path: Path) -> Iterator[ELFFile]:
    from elftools.elf.elffile import ELFFile

    with path.open("rb") as file:
        try:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise ValueError("it is not a 64-bit little-endian ELF file")
            yield ELFFile(file)
        except Exception as exc:  # the parser raises various errors for damaged files
            raise BuildError(
                f"{path} is no library that can be read: {exc or type(exc).__name__}",
                "fetch or build it again",
            ) from exc
