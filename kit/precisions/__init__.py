"""Precisions of model files, one file each; see `kit.precisions.interface`.

Other packages add precisions with entry points in the group ``kit.precisions``.
"""

from __future__ import annotations

from kit.precisions.interface import Precision
from kit.registry import PRECISION_NAMES, Registry

_REGISTRY = Registry(PRECISION_NAMES, Precision)  # type: ignore[type-abstract]


def list_precisions() -> tuple[str, ...]:
    """Return the names of the precisions, those of most bits first.

    Raises:
        PluginError: a plug-in uses a name that is taken, or is broken.
    """
    return tuple(sorted(PRECISION_NAMES.list_all(), key=rank))


def get_precision(name: str) -> Precision:
    """Return a precision.

    Raises:
        UnknownName: there is no such precision.
        PluginError: the plug-in that provides it is broken.
    """
    return _REGISTRY.get(name)


def rank(name: str) -> tuple[int, int, str]:
    """Return a key to sort names by: bits of weights and activations, most first.

    Names that are not registered, as results of other machines may have, come last.
    """
    if name not in PRECISION_NAMES.list_all():
        return (0, 0, name)
    precision = get_precision(name)
    return (-precision.weight_bits, -precision.activation_bits, name)
