"""Model families, one file each; see `kit.models._contract`."""

from __future__ import annotations

from types import ModuleType

from kit import family


def get(name: str) -> ModuleType:
    """Import a model family by name.

    Raises:
        UnknownName: there is no such model.
    """
    return family.load("models", name)
