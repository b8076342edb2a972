"""Model families, one file each, and the user's own; see `kit.models._contract`."""

from __future__ import annotations

from typing import cast

from kit import family, recipe
from kit.models._contract import Member


def get(name: str) -> Member:
    """Import a model family by name, or the user's own by ``FILE.py:FACTORY``.

    Raises:
        UnknownName: there is no such model.
        RecipeError: the user's file cannot be used.
    """
    if recipe.own(name):
        from kit.models import _user

        return _user.load(name)
    return cast(Member, family.load("models", name))
