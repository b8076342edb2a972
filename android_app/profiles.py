"""Colour profiles to test with, built from the numbers of their standards.

ICC.1:2010: a header of 128 bytes, a table of tags, and the tags. Primaries are XYZ values adapted
to D50, in the order red, green, blue.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

D50 = (0.9642, 1.0, 0.8249)
# https://www.color.org/chardata/rgb/DisplayP3.xalter, adapted to D50.
P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
# Adobe RGB (1998), annex A.
ADOBE = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))


def _fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(*values)


def gamma(value: float) -> bytes:
    """Return a curve that is a power."""
    return b"curv\0\0\0\0" + struct.pack(">IH2x", 1, round(value * 256))


def srgb_curve() -> bytes:
    """Return the curve of sRGB, by its five numbers."""
    numbers = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    return b"para\0\0\0\0" + struct.pack(">HH", 3, 0) + _fixed(*numbers)


def table(power: float, size: int = 1024) -> bytes:
    """Return a power as a table, as old profiles have it."""
    steps = [round(65535 * (i / (size - 1)) ** power) for i in range(size)]
    return b"curv\0\0\0\0" + struct.pack(f">I{size}H", size, *steps)


def _text(words: str) -> bytes:
    data = words.encode() + b"\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(data)) + data + bytes(78)


def rgb(primaries: tuple[tuple[float, ...], ...], curve: bytes) -> bytes:
    """Return the profile of an RGB space."""
    names = (b"rXYZ", b"gXYZ", b"bXYZ")
    tags = {name: _xyz(values) for name, values in zip(names, primaries, strict=True)}
    return _profile(b"RGB ", {**tags, b"rTRC": curve, b"gTRC": curve, b"bTRC": curve})


def grey(curve: bytes) -> bytes:
    """Return the profile of a grey space."""
    return _profile(b"GRAY", {b"kTRC": curve})


def _profile(space: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    whole = {b"desc": _text("test"), b"cprt": b"text\0\0\0\0none\0", b"wtpt": _xyz(D50), **tags}
    listing, body = struct.pack(">I", len(whole)), b""
    start = 128 + 4 + 12 * len(whole)
    for name, data in whole.items():
        listing += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    size = start + len(body)
    head = struct.pack(">I4xI4s", size, 0x02100000, b"mntr") + space + b"XYZ "
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(*D50)
    return head.ljust(128, b"\0") + listing + body
