"""Corrections of the float model, one file each; see `kit.corrections.interface`.

Other packages add corrections with entry points in the group ``kit.corrections``.
"""

from __future__ import annotations

from kit.corrections.interface import Correction
from kit.registry import CORRECTION_NAMES, Registry

_REGISTRY = Registry(CORRECTION_NAMES, Correction)


def list_corrections() -> tuple[str, ...]:
    """Return the sorted names of the corrections.

    Raises:
        PluginError: a plug-in uses a name that is taken.
    """
    return CORRECTION_NAMES.list_all()


def get_correction(name: str) -> Correction:
    """Return a correction.

    Raises:
        UnknownName: there is no such correction.
        PluginError: the plug-in that provides it is broken.
    """
    return _REGISTRY.get(name)
