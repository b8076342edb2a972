"""Import packages of kit's extras, which an installation may lack, and keep them quiet."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from kit.errors import MissingTool


def import_package(module: str, distribution: str, extra: str) -> ModuleType:
    """Return a module of an optional package.

    Args:
        module: to import.
        distribution: that has it.
        extra: of kit's that installs it, which has the name of its format.

    Raises:
        MissingTool: the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as exc:
        if exc.name is not None and not module.startswith(exc.name):
            raise  # a dependency of the package, which a hint to install it would hide
        raise _missing(distribution, extra) from exc


def read_version(distribution: str, extra: str) -> str:
    """Return the version of an optional package.

    Raises:
        MissingTool: the package is not installed.
    """
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError as exc:
        raise _missing(distribution, extra) from exc


def _missing(distribution: str, extra: str) -> MissingTool:
    return MissingTool(
        f"{distribution} is not installed, which {extra} needs",
        f"pip install 'mobile-deployment-kit[{extra}]'",
    )


@contextmanager
def silence_converters() -> Iterator[None]:
    """Keep logs, warnings and progress bars of converters off the screen.

    They are for the converters' developers: untested versions of torch, passes that run.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
