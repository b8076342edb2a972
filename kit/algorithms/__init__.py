"""Quantization methods, one file each; see `kit.algorithms.interface`.

Other packages add methods with entry points in the group ``kit.algorithms``.
"""

from __future__ import annotations

from kit.algorithms.interface import Algorithm
from kit.registry import ALGORITHM_NAMES, Registry

_REGISTRY = Registry(ALGORITHM_NAMES, Algorithm)


def list_algorithms() -> tuple[str, ...]:
    """Return the sorted names of the quantization methods.

    Raises:
        PluginError: a plug-in uses a name that is taken.
    """
    return ALGORITHM_NAMES.list_all()


def get_algorithm(name: str) -> Algorithm:
    """Return a quantization method.

    Raises:
        UnknownName: there is no such method.
        PluginError: the plug-in that provides it is broken.
    """
    return _REGISTRY.get(name)
