"""Model families, one file each, sources of models by name, and the user's own.

See `kit.models.interface` and `kit.models.sourced`. Other packages add families with entry points
in the group ``kit.models``, and sources in the group ``kit.model_sources``.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from kit import recipe
from kit.model_name import check_model_name
from kit.model_source import split_reference
from kit.models.interface import Model, ModelFamily
from kit.models.sourced import LibrarySource
from kit.registry import MODEL_NAMES, SOURCE_NAMES, Registry

_REGISTRY = Registry(MODEL_NAMES, ModelFamily)
_SOURCES = Registry(
    SOURCE_NAMES,
    LibrarySource,  # type: ignore[type-abstract]  # for isinstance only
)


def list_models() -> tuple[str, ...]:
    """Return the sorted names of the model families.

    Raises:
        PluginError: a plug-in uses a name that is taken.
    """
    return MODEL_NAMES.list_all()


def get_model(name: str) -> Model:
    """Return a model family, a model ``SOURCE:NAME``, or the user's own ``FILE.py:FACTORY``.

    Raises:
        UnknownName: there is no such model.
        PluginError: the plug-in that provides it is broken.
        MissingTool: the library of a source is not installed.
        RecipeError: the user's file, or the model of a source, cannot be used, or the name is that
            of another kind of file.
    """
    if reference := split_reference(name):
        return _SOURCES.get(reference.source).load(reference.name)
    if recipe.split_own_model(name):
        from kit.models import user_model

        return user_model.load(name)
    check_model_name(name)
    return _REGISTRY.get(name)


def guard_network(name: str) -> AbstractContextManager[None]:
    """Return the context in which a network is traced or run together with kit's own code.

    For a user's model, `kit.guard.run_user_code` undoes the side effects of its code.
    """
    from kit.models.user_model import UserModel

    member = get_model(name)
    return member.running(mixed=True) if isinstance(member, UserModel) else nullcontext()
