"""Explain what is wrong with a path that a person gave in place of a bundle's folder."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from kit.errors import BundleError
from kit.text import make_one_line

MANIFEST = "bundle.json"
_MAKE = "`kit build` makes one; give its folder"
_SHOWN = 4  # folders in a hint


def explain_no_bundle(folder: Path, reason: str) -> BundleError:
    """Return the error for a path without a readable manifest.

    Args:
        folder: that was given.
        reason: why the manifest in it cannot be read.
    """
    try:
        return _explain(folder, reason)
    except (OSError, ValueError):  # the place cannot be looked at, which is in the reason
        return BundleError(f"{folder} is not a bundle: cannot read {MANIFEST} ({reason})", _MAKE)


def find_near_bundle(folder: Path) -> Path | None:
    """Return the bundle beside a folder that does not exist, whose name is nearest to its."""
    try:
        near = get_close_matches(folder.name, _list_bundles(folder.parent), n=1, cutoff=0.7)
    except (OSError, ValueError):
        return None
    return folder.parent / near[0] if near else None


def _explain(folder: Path, reason: str) -> BundleError:
    if folder.is_file():
        inside = (folder.parent / MANIFEST).is_file()
        hint = f"give its folder: {folder.parent}" if inside else _MAKE
        return BundleError(f"{folder} is not a bundle: it is a file, not a folder", hint)
    if not folder.exists():
        near = find_near_bundle(folder)
        hint = f"did you mean {near}?" if near else _MAKE
        return BundleError(f"{folder} is not a bundle: there is no such folder", hint)
    if not (folder / MANIFEST).exists() and (inner := _list_bundles(folder)):
        named = ", ".join(str(folder / name) for name in inner[:_SHOWN])
        return BundleError(f"{folder} is not a bundle: it holds bundles", f"give one: {named}")
    return BundleError(f"{folder} is not a bundle: cannot read {MANIFEST} ({reason})", _MAKE)


def _list_bundles(folder: Path) -> list[str]:
    """Return the names of the bundles in a folder, sorted; those that can be printed."""
    names = (manifest.parent.name for manifest in folder.glob(f"*/{MANIFEST}"))
    return sorted(name for name in names if make_one_line(name) == name)
