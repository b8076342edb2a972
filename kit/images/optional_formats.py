"""Picture formats that not every installation reads: AVIF of newer Pillow, HEIF by a plug-in.

HEIF, which iPhones save photos in, needs the package pillow-heif; kit does not depend on it.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

SUFFIXES = {".avif": "AVIF", ".heic": "HEIF", ".heif": "HEIF"}
_PLUGIN = "pillow_heif"


@cache
def list_optional_formats() -> tuple[str, ...]:
    """Return Pillow's names of the formats that are read here besides the usual ones."""
    from PIL import features

    names = ["AVIF"] if features.check("avif") else []
    if find_spec(_PLUGIN) is not None:
        from pillow_heif import register_heif_opener

        register_heif_opener()
        names.append("HEIF")
    return tuple(names)


def is_read(suffix: str) -> bool:
    """Return whether files of a suffix, in lower case, are of an optional format that is read."""
    return SUFFIXES.get(suffix) in list_optional_formats() if suffix in SUFFIXES else False
