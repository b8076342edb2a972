"""File formats, one folder each: everything about a format is in its folder.

Other packages add formats with an entry point in the group ``kit.formats``;
see docs/write-a-format.md. The float PyTorch model that every bundle has, `reference`, is
loaded like a format but cannot be chosen at build time, and so are other runtimes of a format's
files (`kit.formats.sessions`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, overload

from kit.artifact_key import REFERENCE
from kit.formats.interface import Format
from kit.registry import FORMAT_NAMES, Registry

if TYPE_CHECKING:
    from kit.formats._reference import Reference

_OPENVINO = "openvino"

_REGISTRY = Registry(
    FORMAT_NAMES,
    Format,  # type: ignore[type-abstract]  # for isinstance only, never called
)


def list_formats() -> tuple[str, ...]:
    """Return the sorted names of the formats for builds.

    Raises:
        PluginError: a plug-in uses a name that is taken.
    """
    return FORMAT_NAMES.list_all()


@overload
def get_format(name: Literal["reference"]) -> Reference: ...
@overload
def get_format(name: str) -> Format: ...
def get_format(name: str) -> Format:
    """Return a format, ``reference``, or the runtime of a session.

    Raises:
        UnknownName: there is no such format.
        PluginError: the plug-in that provides it is broken.
    """
    if name == REFERENCE:
        return get_reference()
    if name == _OPENVINO:
        from kit.formats import _openvino

        return _openvino.FORMAT
    return _REGISTRY.get(name)


def get_reference() -> Reference:
    """Return the format of the float model."""
    from kit.formats._reference import FORMAT

    return FORMAT


def list_packages(names: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the distributions that affect files of kit's own formats and of `names`."""
    packages: list[str] = []
    for name in (*FORMAT_NAMES.list_own(), *names):
        plugin = _REGISTRY.find_distribution(name)
        packages += [*get_format(name).packages, *([plugin] if plugin else [])]
    return tuple(dict.fromkeys(packages))
