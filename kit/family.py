"""A family is a package whose members are its files: the file stem is the name.

Names are listed without importing anything; loading a member imports that member only.
Files whose name starts with an underscore are helpers of the family, not members.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

from kit.errors import UnknownName

KINDS = {"quantize": "quantization method"}


def names(package: str) -> tuple[str, ...]:
    """Return the sorted member names of a family, for example ``names("formats")``."""
    folder = Path(__file__).parent / package
    return tuple(sorted(f.stem for f in folder.glob("*.py") if not f.stem.startswith("_")))


def load(package: str, name: str) -> ModuleType:
    """Import one member of a family.

    Raises:
        UnknownName: there is no such member; the near matches are named.
    """
    known = names(package)
    if name not in known:
        kind = KINDS.get(package, package.removesuffix("s"))
        raise UnknownName.among(kind, name, known)
    return importlib.import_module(f"kit.{package}.{name}")
