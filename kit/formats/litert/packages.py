"""Import the packages of the extra ``litert``."""

from __future__ import annotations

from types import ModuleType

from kit.formats import extra_packages

_EXTRA = "litert"


def import_package(module: str, distribution: str) -> ModuleType:
    """Return a module of an optional package.

    Raises:
        MissingTool: the package is not installed.
    """
    return extra_packages.import_package(module, distribution, _EXTRA)


def read_version(distribution: str) -> str:
    """Return the version of an optional package.

    Raises:
        MissingTool: the package is not installed.
    """
    return extra_packages.read_version(distribution, _EXTRA)
