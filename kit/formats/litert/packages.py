"""Import the packages of the extra ``litert``, which an installation of kit may not have."""

from __future__ import annotations

import importlib
import importlib.metadata
from types import ModuleType

from kit.errors import MissingTool

_HINT = "pip install 'mobile-deployment-kit[litert]'"


def import_package(module: str, distribution: str) -> ModuleType:
    """Return a module of an optional package.

    Raises:
        MissingTool: the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as exc:
        if exc.name is not None and not module.startswith(exc.name):
            raise  # a dependency of the package, which a hint to install it would hide
        raise MissingTool(f"{distribution} is not installed, which litert needs", _HINT) from exc


def read_version(distribution: str) -> str:
    """Return the version of an optional package.

    Raises:
        MissingTool: the package is not installed.
    """
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError as exc:
        raise MissingTool(f"{distribution} is not installed, which litert needs", _HINT) from exc
