"""Cache of finished bundles, keyed by the content of all inputs of a build.

The key is made of the recipe, the hashes of weights and pictures, the versions of the tools, and
kit's own source. It is computed without torch, so that a cached build takes a moment.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from kit import formats, user_cache
from kit.build_inputs import BY_CONTENT
from kit.bundles import loading, writing
from kit.calibration import CalibrationSet
from kit.errors import BundleError
from kit.files import temporary
from kit.manifest.schema import Manifest
from kit.progress import ReportStatus
from kit.recipe import OWN, Recipe

KEEP = 24  # bundles; the least recently used are removed
TOOLS = ("torch", "torchvision", "torchao")  # in addition to those of the formats

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def get_folder() -> Path:
    """Return the cache folder: ``$KIT_CACHE`` or the user's cache folder."""
    return user_cache.find_folder("bundles")


def read_tool_versions(recipe: Recipe) -> dict[str, str]:
    """Return the versions of the packages that affect a bundle, without importing them."""
    versions = {}
    for name in dict.fromkeys((*TOOLS, *formats.list_packages(recipe.format_names))):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "missing"
    return versions


def compute_key(parts: dict[str, object], recipe: Recipe) -> str:
    """Return the cache key of a build: SHA-256, in hex, of `parts`, the tools and kit's source."""
    whole = {**parts, "tools": read_tool_versions(recipe), "kit": _source_hash()}
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def _source_hash() -> str:
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(f"{file.relative_to(root)}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def take(
    name: str,
    target: Path,
    recipe: Recipe,
    calibration_set: CalibrationSet,
    weights: str | None,
    report_status: ReportStatus,
) -> bool:
    """Copy the cached bundle of a build into an empty folder; return whether there is one.

    The copy is checked, not the entry, because another kit may remove the entry meanwhile. An
    entry that is damaged, or is not what the recipe builds, is removed and counts as absent. The
    cached build may have read equal files with other names: the copy has the recipe's names.

    Args:
        name: key of the build.
        target: an empty folder.
        recipe: of the build.
        calibration_set: of the recipe.
        weights: SHA-256 that the weights must have, or its first digits; None if it is not known
            before they are read.
        report_status: callback; takes a message if the cache cannot be trusted.
    """
    entry = get_folder() / name
    if not entry.is_dir():
        return False
    stranger = find_writable_by_others(entry)
    if stranger is not None:
        report_status(f"the cache is not used: others can write to {stranger}")
        return False
    try:
        writing.copy_bundle(entry, target)
        manifest = loading.load_bundle(target).manifest
        _check(manifest, recipe, calibration_set, weights)
    except (BundleError, OSError) as exc:
        temporary.clear_folder(target)
        if isinstance(exc, OSError) and exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise  # the target cannot be written; the entry is not damaged
        temporary.remove_folder(entry)
        return False
    with suppress(OSError):  # a read-only cache
        os.utime(entry)
    renamed = _renamed(manifest, recipe, calibration_set.source)
    if renamed != manifest:
        fields = {key: getattr(renamed, key) for key in Manifest.model_fields if key != "files"}
        writing.write_manifest(target, fields)
    return True


def find_writable_by_others(entry: Path) -> Path | None:
    """Return the cache folder, or a path in the entry, that another user can write to."""
    with suppress(FileNotFoundError):  # pruned by another kit: `take` then fails to copy it
        for path in (entry.parent, entry, *entry.rglob("*")):
            status = path.lstat()
            if status.st_uid != os.geteuid() or status.st_mode & _OTHERS_WRITE:
                return path
    return None


def _check(
    manifest: Manifest, recipe: Recipe, calibration_set: CalibrationSet, weights: str | None
) -> None:
    """Raise BundleError unless a bundle is what a recipe builds, with these contents and tools."""
    names = set(BY_CONTENT)
    if recipe.weights == OWN:
        names.add("model")  # the path of its file; the key has its content
    calibration = manifest.calibration
    if (
        manifest.recipe.model_dump(exclude=names) != recipe.model_dump(exclude=names)
        or manifest.tools != read_tool_versions(recipe)
        or (calibration is not None and calibration.sha256 != calibration_set.sha256)
        or not manifest.weights.sha256.startswith(weights or "")
    ):
        raise BundleError("the cached bundle is another one than its key says", "build it again")


def _renamed(manifest: Manifest, recipe: Recipe, source_name: str) -> Manifest:
    """Return the manifest with the file names of a recipe, which has the same contents."""
    changes: dict[str, object] = {"recipe": recipe, "recipe_hash": recipe.hash}
    if recipe.weights not in ("imagenet", "random"):
        mine = recipe.weights == OWN
        source = f"own model {recipe.model}" if mine else f"file {Path(recipe.weights).name}"
        changes["weights"] = manifest.weights.model_copy(update={"source": source})
    if manifest.calibration is not None:
        changes["calibration"] = manifest.calibration.model_copy(update={"source": source_name})
        changes["notices"] = tuple(
            notice.model_copy(update={"values": {**notice.values, "source": source_name}})
            if notice.code.startswith("calibration.") and "source" in notice.values
            else notice
            for notice in manifest.notices
        )
    if manifest.training is not None:
        source = Path(recipe.train).resolve().name if recipe.train else source_name
        changes["training"] = manifest.training.model_copy(update={"source": source})
    return manifest.model_copy(update=changes)


def keep(name: str, source: Path) -> None:
    """Copy a bundle into the cache; do nothing if the cache cannot be written to."""
    root = get_folder()
    with suppress(OSError):
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with temporary.make_folder_beside(root / name) as part:
            writing.copy_bundle(source, part)
            for path in (part, *part.rglob("*")):
                path.chmod(path.stat().st_mode & ~_OTHERS_WRITE)
            part.rename(root / name)  # fails if another kit was faster: its bundle is equal
        _prune(root)


def _prune(root: Path) -> None:
    entries = [e for e in root.iterdir() if e.is_dir() and not e.name.startswith(".")]
    for old in sorted(entries, key=lambda e: e.stat().st_mtime)[:-KEEP]:
        temporary.remove_folder(old)
