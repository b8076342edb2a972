"""Model families, one file each, and the user's own; see `kit.models._contract`."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
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


def running(name: str) -> AbstractContextManager[None]:
    """Return the context in which a network is traced or run, beside kit's own code.

    Whatever the code of a model of the user's own does there, see `kit.guard.running`.
    """
    from kit.models._user import UserModel

    member = get(name)
    return member.running(mixed=True) if isinstance(member, UserModel) else nullcontext()
