"""Finished bundles, found again by the content of everything that made them.

The key is torch-free, so that an unchanged recipe is answered in a moment: the recipe, the
hashes of weights and pictures, the versions of the tools, and kit's own source.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from kit import bundle
from kit.errors import BundleError
from kit.manifest import Manifest
from kit.recipe import OWN, Recipe

KEEP = 24  # bundles; the ones used longest ago go first
TOOLS = ("torch", "torchvision", "torchao", "executorch", "onnx", "onnxscript", "onnxruntime")


def folder() -> Path:
    """Return the cache folder: ``$KIT_CACHE`` or the user's cache folder."""
    import platformdirs

    named = os.environ.get("KIT_CACHE")
    return Path(named) if named else platformdirs.user_cache_path("kit") / "bundles"


def tool_versions() -> dict[str, str]:
    """Return the versions of what shapes a bundle, without importing any of it."""
    found = {}
    for name in TOOLS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def key(parts: dict[str, Any]) -> str:
    """Return the cache key of a build: SHA-256, in hex, of `parts`, the tools and kit."""
    whole = {**parts, "tools": tool_versions(), "kit": _source_hash()}
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def _source_hash() -> str:
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(f"{file.relative_to(root)}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def find(name: str, folder_of_bundle: Path, recipe: Recipe, pictures: str) -> bool:
    """Copy the cached bundle into an empty folder; return whether there is one.

    A cached bundle that fails its hash check is removed and counts as absent. Equal files
    may have had other names when it was built: the copy says what they are called now.

    Args:
        name: key of the build.
        folder_of_bundle: where to.
        recipe: that is built now.
        pictures: name of the calibration set, as the manifest has it.
    """
    kept = folder() / name
    if not kept.is_dir():
        return False
    try:
        manifest = bundle.load(kept).manifest
    except BundleError:
        shutil.rmtree(kept, ignore_errors=True)
        return False
    with suppress(OSError):  # a cache that is only to be read
        os.utime(kept)
    shutil.copytree(kept, folder_of_bundle, dirs_exist_ok=True)
    renamed = _renamed(manifest, recipe, pictures)
    if renamed != manifest:
        fields = {key: getattr(renamed, key) for key in Manifest.model_fields if key != "files"}
        bundle.write_manifest(folder_of_bundle, fields)
    return True


def _renamed(manifest: Manifest, recipe: Recipe, pictures: str) -> Manifest:
    """Return the manifest of the same bundle, built by a recipe with other names of files."""
    changes: dict[str, Any] = {"recipe": recipe, "recipe_hash": recipe.hash}
    if recipe.weights not in ("imagenet", "random"):
        mine = recipe.weights == OWN
        source = f"own model {recipe.model}" if mine else f"file {Path(recipe.weights).name}"
        changes["weights"] = manifest.weights.model_copy(update={"source": source})
    if manifest.calibration is not None:
        changes["calibration"] = manifest.calibration.model_copy(update={"source": pictures})
    if manifest.training is not None:
        source = Path(recipe.train).resolve().name if recipe.train else pictures
        changes["training"] = manifest.training.model_copy(update={"source": source})
    return manifest.model_copy(update=changes)


def keep(name: str, made: Path) -> None:
    """Put a bundle's folder into the cache. One that cannot be written to is no failure."""
    kept = folder() / name
    part = kept.with_name(f".{name}.{os.getpid()}.part")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(made, part)
        shutil.rmtree(kept, ignore_errors=True)
        part.rename(kept)
        _prune(kept.parent)
    except OSError:
        shutil.rmtree(part, ignore_errors=True)


def _prune(root: Path) -> None:
    entries = [e for e in root.iterdir() if e.is_dir() and not e.name.startswith(".")]
    for old in sorted(entries, key=lambda e: e.stat().st_mtime)[:-KEEP]:
        shutil.rmtree(old, ignore_errors=True)
