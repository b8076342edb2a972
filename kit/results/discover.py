"""Find result files: those that are named, and those beside a bundle."""

from __future__ import annotations

import os
import re
import shlex
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

from kit.bundles.bundle import MANIFEST
from kit.errors import KitError, ResultError
from kit.results import store
from kit.results.kinds import AnyResult

MAX_FILES = 2000  # that are looked at beside a bundle
_DEPTH = 2  # folders below the bundle's own: results/latency/
_KIND = re.compile(rb'"kind":\s*"(?:latency|accuracy|processors)"')


def is_bundle(folder: Path) -> bool:
    """Return whether a folder has a manifest; a result of a bundle `bundle` has its name, too."""
    manifest = folder / MANIFEST
    return manifest.is_file() and not is_result(manifest)


def list_files(path: Path) -> list[Path]:
    """Return the result files of a path: itself, or those of a folder.

    Raises:
        ResultError: a folder has none, or is a bundle.
    """
    folder = path if path.is_dir() else path.parent
    if path in (folder, folder / MANIFEST) and is_bundle(folder):
        raise ResultError(
            f"{folder} is a bundle, not a result of a measurement",
            f"measure it first: kit bench {shlex.quote(str(folder))} -o out/results/",
        )
    if not path.is_dir():
        return [path]
    results = sorted(path.glob("*.json"))
    if not results:
        raise ResultError(f"there is no result in {path}", "`kit bench -o FOLDER` writes some")
    return results


def read_named(paths: Iterable[Path]) -> list[AnyResult]:
    """Return the results of files and folders.

    Raises:
        ResultError: one is no result, or a folder has none.
    """
    return [store.read(file) for path in paths for file in list_files(path)]


def read_beside(bundle: Path, digest: str) -> list[AnyResult]:
    """Return the results of a bundle in the folder that holds it, and in two below that.

    Files that are no results, or cannot be read, are passed over: nobody named them.

    Args:
        bundle: folder of the bundle.
        digest: of its `bundle.json`.
    """
    loaded = []
    for file in _search(bundle.resolve().parent):
        try:
            result = store.read(file)
        except KitError:
            continue
        if result.bundle.hash == digest:
            loaded.append(result)
    return loaded


def _search(root: Path) -> Iterator[Path]:
    """Yield files that begin as results do, no more than `MAX_FILES` being looked at."""
    left = MAX_FILES
    folders = deque([(root, 0)])
    while folders:
        folder, depth = folders.popleft()
        for entry in _scan(folder):
            if entry.is_dir(follow_symlinks=False):
                if depth < _DEPTH and not entry.name.startswith("."):
                    folders.append((Path(entry.path), depth + 1))
            elif entry.name.endswith(".json") and entry.is_file(follow_symlinks=False):
                left -= 1
                if left < 0:
                    return
                if is_result(Path(entry.path)):
                    yield Path(entry.path)


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)[:MAX_FILES]
    except OSError:
        return []


def is_result(path: Path) -> bool:
    """Return whether a file begins as results do; the name may be that of a manifest."""
    try:
        with path.open("rb") as file:
            return _KIND.search(file.read(200)) is not None
    except OSError:
        return False
