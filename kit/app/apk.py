"""Read an APK: its files, their offsets, and the page sizes that its libraries support."""

from __future__ import annotations

import hashlib
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kit.app import axml
from kit.app.contract import is_app_id
from kit.app.signing import PAGE
from kit.errors import BuildError, InputError
from kit.files import temporary
from kit.runners import elf

MANIFEST = "AndroidManifest.xml"
# RuntimeError: encrypted, or compressed by a method that zipfile does not support.
_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError)
_NARROW = ("armeabi-v7a", "x86")  # 32-bit, where pages are always 4 KB


@dataclass(frozen=True)
class ZipEntry:
    """A file in the APK.

    Attributes:
        size: bytes, unpacked.
        offset: of its data in the APK, in bytes.
        stored: whether it is not compressed, so that Android can map it.
        page: of a library: largest page size that it can be loaded with, in bytes; None
            for 32-bit ones.
    """

    name: str
    size: int
    sha256: str
    offset: int
    stored: bool
    page: int | None = None

    @property
    def library(self) -> bool:
        """Whether it is a native library."""
        return self.name.startswith("lib/")


def read(file: Path) -> list[ZipEntry]:
    """Return every file of an APK, in order of offset.

    Raises:
        InputError: it is no APK, or damaged.
        BuildError: a library in it is no library.
    """
    try:
        with file.open("rb") as raw, zipfile.ZipFile(raw) as archive:
            return list(_entries(raw.fileno(), archive))
    except OSError as exc:
        raise InputError(
            f"cannot read {file}: {exc.strerror}", "`kit app build` writes one"
        ) from exc
    except _BROKEN as exc:
        raise InputError(f"{file} is no APK: {exc}", "`kit app build` writes one") from exc


def read_app_id(file: Path) -> str | None:
    """Return the id of the app in an APK; None if it has no manifest, so that Android refuses it.

    Raises:
        InputError: it is no APK, or its manifest has no app id.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            if MANIFEST not in archive.namelist():
                return None
            app_id = axml.read_app_id(archive.read(MANIFEST))
    except OSError as exc:
        raise InputError(
            f"cannot read {file}: {exc.strerror}", "`kit app build` writes one"
        ) from exc
    except (*_BROKEN, ValueError) as exc:
        raise InputError(f"{file} is no APK: {exc}", "`kit app build` writes one") from exc
    # It becomes part of a path on the device.
    if app_id is None or not is_app_id(app_id):
        raise InputError(f"the manifest of {file} names no app", "`kit app build` writes one")
    return app_id


def _entries(raw: int, archive: zipfile.ZipFile) -> Iterator[ZipEntry]:
    for info in sorted(archive.infolist(), key=lambda one: one.header_offset):
        data = archive.read(info)
        head = os.pread(raw, 30, info.header_offset)
        name, extra = struct.unpack_from("<HH", head, 26)
        yield ZipEntry(
            name=info.filename,
            size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            offset=info.header_offset + 30 + name + extra,
            stored=info.compress_type == zipfile.ZIP_STORED,
            page=_page(info.filename, data),
        )


def _page(name: str, data: bytes) -> int | None:
    parts = name.split("/")
    if parts[0] != "lib" or len(parts) < 3 or parts[1] in _NARROW:
        return None
    with temporary.make_folder() as folder:
        file = folder / "library.so"
        file.write_bytes(data)
        return elf.read_elf(file).alignment


def check(entries: list[ZipEntry]) -> None:
    """Check that the APK is laid out as Android requires.

    Libraries must be stored and page-aligned, so that they are mapped and not unpacked
    (`android:extractNativeLibs="false"`); so must the table of resources, at 4 bytes.
    https://developer.android.com/guide/practices/page-sizes

    Raises:
        BuildError: it is not.
    """
    names = [entry.name for entry in entries]
    for needed in (MANIFEST, "classes.dex", "resources.arsc"):
        if needed not in names:
            raise BuildError(f"the APK has no {needed}", "please report it")
    for entry in entries:
        unit = PAGE if entry.library else 4
        must = entry.library or entry.name == "resources.arsc"
        if (must and not entry.stored) or (entry.stored and entry.offset % unit):
            raise BuildError(
                f"{entry.name} is not stored at a multiple of {unit} bytes in the APK",
                "please report it",
            )


def fit_for_16k(entries: list[ZipEntry]) -> list[str]:
    """Return the 64-bit libraries that do not support pages of 16 KB."""
    return [e.name for e in entries if e.page is not None and e.page < PAGE]


def list_abis(entries: list[ZipEntry]) -> list[str]:
    """Return the ABIs of an APK's libraries, sorted."""
    return sorted({entry.name.split("/")[1] for entry in entries if entry.library})
