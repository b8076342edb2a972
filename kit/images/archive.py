"""Pictures in a zip file, read one by one; nothing is ever extracted to disk.

A zip is untrusted, so it is rejected as a whole if a name in it points outside of it, and
a picture is rejected if it is encrypted or expands too much. The headers are only the first
check: expanded bytes are counted while they are read.
"""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath

from kit.errors import PictureError
from kit.images.optional_formats import is_read

Read = Callable[[], bytes]

MAX_BYTES = 64 * 2**20  # of one picture file, expanded
MAX_RATIO = 200  # pictures hardly compress, except blank bitmaps: hence the floor
RATIO_FLOOR = 2**20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile expands others without a bound
_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif"),
        *(".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"),
    )
)
_LITTER = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})
_NO_ZIP = "File is not a zip file"  # message of `zipfile` for most other files
_DO_NOT_USE = "do not use this zip, or make a new one of plain pictures"


def is_picture(name: str) -> bool:
    """Return whether a name has the suffix of a picture format that is read."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix in _SUFFIXES or is_read(suffix)


def is_litter(name: str) -> bool:
    """Return whether a path is hidden or was put there by an operating system."""
    return any(p.startswith(".") or p in _LITTER for p in PurePosixPath(name).parts)


def make_size_error(name: str) -> PictureError:
    """Return the error for a file that is larger than `MAX_BYTES`."""
    return PictureError(
        f"{name} is larger than {MAX_BYTES >> 20} MB",
        "save it as JPEG or PNG, or leave it out",
    )


def list_zip(path: Path, kind: str = "pictures") -> dict[str, Read]:
    """Return a function that reads each file of a zip, by its name inside the zip, with slashes.

    Args:
        path: of the zip.
        kind: what it should hold, for messages.

    Raises:
        PictureError: it is not a zip, or has unsafe names or contents.
    """
    try:
        archive = zipfile.ZipFile(path)
    except OSError as exc:
        raise PictureError(f"cannot read {path}: {exc.strerror or exc}", "check the path") from exc
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as exc:
        why = "" if str(exc) == _NO_ZIP else f": {exc}"
        raise PictureError(
            f"{path} is not a zip file{why}", f"give a folder or a zip of {kind}"
        ) from exc
    readers: dict[str, Read] = {}
    for info in archive.infolist():
        _check_name(path, info)
        name = info.filename.replace("\\", "/")  # some archivers on Windows write backslashes
        if name.endswith("/") or is_litter(name):
            continue
        if name in readers:
            raise PictureError(f"{path.name} holds two files named {name}", _DO_NOT_USE)
        if is_picture(name):
            check_content(path, info)
        readers[name] = partial(_read, archive, path, info)
    return readers


def _check_name(path: Path, info: zipfile.ZipInfo) -> None:
    pure = PureWindowsPath(info.filename)  # both slashes are separators
    if pure.drive or pure.root or ".." in pure.parts:
        raise PictureError(
            f"{path.name} names a file outside itself: {info.filename!r}", _DO_NOT_USE
        )
    if stat.S_ISLNK(info.external_attr >> 16):
        raise PictureError(f"{path.name} holds a symbolic link: {info.filename!r}", _DO_NOT_USE)


def check_content(path: Path, info: zipfile.ZipInfo) -> None:
    """Refuse a member that is encrypted, or larger or denser than a picture can be."""
    name = f"{info.filename} in {path.name}"
    if info.flag_bits & 0x1:
        raise PictureError(f"{name} is encrypted", "unpack the zip and give the folder")
    if info.compress_type not in _METHODS:
        raise PictureError(
            f"{name} is compressed by method {info.compress_type}", "use store or deflate"
        )
    if info.file_size > MAX_BYTES:
        raise make_size_error(name)
    if info.file_size > max(RATIO_FLOOR, MAX_RATIO * info.compress_size):
        raise PictureError(
            f"{name} expands to more than {MAX_RATIO} times its size, as zip bombs do", _DO_NOT_USE
        )


def _read(archive: zipfile.ZipFile, path: Path, info: zipfile.ZipInfo) -> bytes:
    check_content(path, info)
    name = f"{info.filename} in {path.name}"
    try:
        with archive.open(info) as member:
            data = member.read(MAX_BYTES + 1)
    except (
        *(zipfile.BadZipFile, zlib.error, EOFError, OSError),
        # Raised for a name that is not text, or a header outside of the file.
        *(RuntimeError, ValueError, struct.error),
    ) as exc:
        raise PictureError(f"{name} is damaged: {exc}", "make or download the zip again") from exc
    if len(data) > MAX_BYTES:
        raise make_size_error(name)
    return data
