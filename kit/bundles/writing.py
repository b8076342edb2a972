"""Write bundles: the manifest of a finished folder, copies, and the swap for an older bundle."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kit.bundles.bundle import MANIFEST
from kit.bundles.loading import find_inside, find_stranger, is_text, parse_manifest, read_manifest
from kit.documents import decode_name
from kit.errors import BundleError, OutputError
from kit.files import atomic, temporary, untrusted
from kit.manifest.schema import FileEntry, Manifest


def measure_files(folder: Path) -> dict[str, FileEntry]:
    """Return size and SHA-256 of every file below a folder, by its relative path."""
    listed = {}
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = file.relative_to(folder).as_posix()
        if name != MANIFEST:
            size, digest = untrusted.measure_file(file)
            listed[name] = FileEntry(size=size, sha256=digest)
    return listed


def write_manifest(folder: Path, fields: dict[str, object]) -> None:
    """Hash the files of a finished folder and write its `bundle.json`."""
    manifest = Manifest(files=measure_files(folder), **fields)
    text = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def copy_bundle(source: Path, target: Path) -> None:
    """Copy a bundle's manifest and the files that it lists; `load_bundle` checks the copy.

    Raises:
        BundleError: the source has no manifest.
        OSError: a file is missing, or cannot be written.
    """
    text = read_manifest(source)
    for name in (*parse_manifest(source, text).files, MANIFEST):
        file = target / find_inside(source, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        if name == MANIFEST:
            file.write_bytes(text)
            continue
        with untrusted.open_regular(source / name) as opened, file.open("xb") as written:
            shutil.copyfileobj(opened, written)


def check_target(target: Path) -> None:
    """Raise unless a bundle may be written to `target`.

    A folder at `target` is removed once the new bundle is complete, so it must hold nothing but a
    bundle.

    Raises:
        OutputError: `target` is not a bundle, or holds other files as well, or its name is not
            UTF-8, so that no runtime could open the bundle.
    """
    if not is_text(target):
        raise OutputError(
            f"the name {decode_name(target)} is not UTF-8, and runtimes open no such file",
            "choose another folder with -o",
        )
    if not os.path.lexists(target) or _is_empty_folder(target):
        return
    if target.is_file():
        raise OutputError(
            f"{target} exists and is not a bundle: it is a file, not a folder",
            "choose another folder with -o, or remove it",
        )
    try:
        own_files = {MANIFEST, *parse_manifest(target, read_manifest(target)).files}
        stranger = find_stranger(target, own_files)
    except (BundleError, OSError) as exc:
        raise OutputError(
            f"{target} exists and is not a bundle{_describe_reason(target, exc)}",
            "choose another folder with -o, or remove it",
        ) from exc
    if stranger is not None:
        raise OutputError(
            f"{target} holds {stranger}, which is not of the bundle there and would be lost",
            "choose another folder with -o, or move that away",
        )


def _describe_reason(target: Path, exc: Exception) -> str:
    """Return why a path is not a bundle, as the end of that sentence."""
    if isinstance(exc.__cause__, FileNotFoundError) and target.is_dir():
        return f": it has no {MANIFEST}"
    why = str(exc).removeprefix(f"{target} is not a bundle: ")
    return f" that can be replaced: {why}"


def _is_empty_folder(path: Path) -> bool:
    try:
        return path.is_dir() and not any(path.iterdir())
    except OSError:
        return False


@contextmanager
def stage_bundle(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `target`, which replaces `target` on success.

    If the block ends early (an error, Ctrl-C), `target` is unchanged and the temporary folder is
    removed. If `target` is a symbolic link, the folder that it points to is replaced.

    Raises:
        OutputError: the place cannot be written to, the disk is full, or `target` exists and is
            not a bundle.
    """
    hint = "choose a place with -o that is writable and has space"
    try:
        place = target.resolve()
    except (OSError, RuntimeError) as exc:  # a loop of symbolic links
        raise OutputError(f"cannot write {target}: {exc}", hint) from exc
    try:
        temporary.restore_folder(place)
        check_target(place)
        # Check again at the end: a build takes minutes, and files may have been added.
        with atomic.replace_folder(place, lambda: check_target(place)) as work:
            yield work
    except OSError as exc:
        raise OutputError.of(exc, target, hint) from exc
