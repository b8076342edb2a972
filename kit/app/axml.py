"""The id of an app, read from the binary manifest of its APK.

https://android.googlesource.com/platform/frameworks/base/+/main/libs/androidfw/include/androidfw/ResourceTypes.h
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_XML, _STRINGS, _ELEMENT = 0x0003, 0x0001, 0x0102  # types of chunks
_UTF8 = 1 << 8  # a flag of the chunk of strings
_STRING = 3  # type of an attribute's value


def read_app_id(manifest: bytes) -> str | None:
    """Return the attribute ``package`` of a binary manifest; None if it has none.

    Raises:
        ValueError: these bytes are no binary manifest.
    """
    try:
        strings: list[str] = []
        for kind, at in _chunks(manifest):
            if kind == _STRINGS:
                strings = _read_strings(manifest, at)
            elif kind == _ELEMENT:  # the first one is <manifest>
                return _find_attribute(manifest, at, strings, "package")
    except (struct.error, IndexError, UnicodeDecodeError) as exc:
        raise ValueError(f"the manifest breaks off: {exc}") from exc
    return None


def _chunks(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the type and the offset of each chunk in the file."""
    if len(data) < 8 or struct.unpack_from("<H", data)[0] != _XML:
        raise ValueError("it does not begin as a binary manifest does")
    at = 8
    while at < len(data):
        kind, _, size = struct.unpack_from("<HHI", data, at)
        if size < 8:
            raise ValueError(f"a part of it has the size {size}")
        yield kind, at
        at += size


def _read_strings(data: bytes, at: int) -> list[str]:
    count, _, flags, start = struct.unpack_from("<IIII", data, at + 8)
    if count > len(data):
        raise ValueError(f"its header claims {count} strings")
    offsets = struct.unpack_from(f"<{count}I", data, at + 28)
    read = _read_utf8 if flags & _UTF8 else _read_utf16
    return [read(data, at + start + offset) for offset in offsets]


def _read_utf8(data: bytes, at: int) -> str:
    at += 2 if data[at] & 0x80 else 1  # the length in characters
    length = data[at]
    if length & 0x80:
        length = (length & 0x7F) << 8 | data[at + 1]
        at += 1
    return data[at + 1 : at + 1 + length].decode()


def _read_utf16(data: bytes, at: int) -> str:
    (length,) = struct.unpack_from("<H", data, at)
    if length & 0x8000:
        length = (length & 0x7FFF) << 16 | struct.unpack_from("<H", data, at + 2)[0]
        at += 2
    return data[at + 2 : at + 2 + 2 * length].decode("utf-16-le")


def _find_attribute(data: bytes, at: int, strings: list[str], name: str) -> str | None:
    start, size, count = struct.unpack_from("<HHH", data, at + 24)
    for number in range(count):
        attribute = at + 16 + start + number * size
        key: int
        value: int
        _, key, _, _, _, kind, value = struct.unpack_from("<IIIHBBI", data, attribute)
        if strings[key] == name and kind == _STRING:
            return strings[value]
    return None
