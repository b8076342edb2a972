"""File formats, one file each: `export` writes a model file, `load` runs it here.

`reference` is the float PyTorch model that every bundle carries; it is loaded like a
format but is not one to choose at build time.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from kit import family
from kit.bundle import REFERENCE


def get(name: str) -> ModuleType:
    """Import a format by name; see `kit.formats._contract` for what it defines.

    Raises:
        UnknownName: there is no such format.
    """
    if name == REFERENCE:
        return importlib.import_module("kit.formats._reference")
    return family.load("formats", name)
