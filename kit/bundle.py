"""The one thing that travels: a folder that describes itself.

    mobilenet_v2-224-static-per-channel/
      bundle.json            this schema, and the size and sha256 of every other file
      labels.txt             one category a line, if the model has names for its outputs
      reference.pt2          the float model, a `torch.export` program
      model.ptl model.pte …  one file per format
      golden/input.npy       float32 [N, 3, H, W], preprocessed natural pictures
      golden/<format>.npy    float32 [N, classes], what that format's runtime answered here

Everything is hash-checked when it is read. `kit.manifest` is the schema of `bundle.json`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from kit.errors import BundleError, OutputError
from kit.manifest import SCHEMA_VERSION, FileEntry, Manifest

MANIFEST = "bundle.json"
REFERENCE = "reference"


class Bundle:
    """A bundle on disk whose files have been checked.

    Attributes:
        path: the folder.
        manifest: the validated content of `bundle.json`.
        hash: SHA-256 of `bundle.json`, and so of everything in the bundle.
    """

    def __init__(self, path: Path, manifest: Manifest, digest: str) -> None:
        self.path = path
        self.manifest = manifest
        self.hash = digest

    def file(self, artifact: str) -> Path:
        """Return the model file of a format, or of ``reference``, the float model."""
        if artifact == REFERENCE:
            return self.path / "reference.pt2"
        return self.path / self.manifest.artifact(artifact).file

    def labels(self) -> list[str] | None:
        """Return the category names in output order, or None."""
        if self.manifest.labels is None:
            return None
        return (self.path / self.manifest.labels).read_text(encoding="utf-8").splitlines()

    def __repr__(self) -> str:
        return f"Bundle({str(self.path)!r}, {self.hash[:12]})"


def load(path: str | Path) -> Bundle:
    """Read a bundle and check every file in it.

    Raises:
        BundleError: it is not a bundle, a file is missing or altered, or the schema is
            newer than this kit.
    """
    folder = Path(path)
    text = _read_manifest(folder)
    manifest = _parse(folder, text)
    for name, entry in manifest.files.items():
        _check_file(folder, name, entry)
    return Bundle(folder, manifest, hashlib.sha256(text).hexdigest())


def is_bundle(path: Path) -> bool:
    """Return whether a folder looks like a bundle, without reading its files."""
    return (path / MANIFEST).is_file()


def _read_manifest(folder: Path) -> bytes:
    try:
        return (folder / MANIFEST).read_bytes()
    except OSError as exc:
        raise BundleError(
            f"{folder} is not a bundle: cannot read {MANIFEST} ({exc.strerror})",
            "`kit build` makes one; give its folder",
        ) from exc


def _parse(folder: Path, text: bytes) -> Manifest:
    try:
        raw = json.loads(text)
        version = raw.get("schema_version") if isinstance(raw, dict) else None
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise BundleError(
                f"{folder} has bundle schema {version}; this kit reads up to {SCHEMA_VERSION}",
                "update kit, or build the bundle again with this one",
            )
        return Manifest.model_validate(raw)
    except (ValueError, RecursionError) as exc:
        what = exc.errors()[0]["msg"] if isinstance(exc, ValidationError) else str(exc)
        raise BundleError(
            f"{folder / MANIFEST} is not a valid bundle description: {what}", "build it again"
        ) from exc


def _check_file(folder: Path, name: str, entry: FileEntry) -> None:
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts:
        raise BundleError(f"{folder} lists a file outside itself: {name!r}", "do not use it")
    try:
        size, digest = _measure(folder / name)
    except OSError as exc:
        raise BundleError(
            f"{folder} lacks {name} ({exc.strerror})", "copy the whole folder, or build it again"
        ) from exc
    if (size, digest) != (entry.size, entry.sha256):
        raise BundleError(
            f"{name} in {folder} was altered: its sha256 is not the one in {MANIFEST}",
            "copy the bundle again, or build it again",
        )


def _measure(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


def entries(folder: Path) -> dict[str, FileEntry]:
    """Return size and SHA-256 of every file below a folder, by its relative path."""
    found = {}
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = file.relative_to(folder).as_posix()
        if name != MANIFEST:
            size, digest = _measure(file)
            found[name] = FileEntry(size=size, sha256=digest)
    return found


def write_manifest(folder: Path, fields: dict[str, Any]) -> None:
    """Hash the files of a finished folder and write its `bundle.json`."""
    manifest = Manifest(files=entries(folder), **fields)
    text = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def check_target(target: Path) -> None:
    """Raise unless a bundle may be written to `target`.

    Raises:
        OutputError: something that is not a bundle stands there.
    """
    if target.exists() and not is_bundle(target) and not _is_empty_folder(target):
        raise OutputError(
            f"{target} exists and is not a bundle", "choose another folder with -o, or remove it"
        )


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Give a temporary folder beside `target` that becomes `target` on success.

    Whatever ends the block early (an error, Ctrl-C) leaves `target` as it was and
    removes the temporary folder.

    Raises:
        OutputError: the place cannot be written to, or the disk is full.
    """
    check_target(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
    except OSError as exc:
        raise _cannot_write(target, exc) from exc
    try:
        work.chmod(0o755)  # mkdtemp is private; a bundle is for sharing
        yield work
        _swap(work, target)
    except OSError as exc:
        raise _cannot_write(target, exc) from exc
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _swap(work: Path, target: Path) -> None:
    old = work.with_suffix(".old")
    if target.exists():
        target.rename(old)
    work.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _cannot_write(target: Path, exc: OSError) -> OutputError:
    return OutputError(
        f"cannot write {target}: {exc.strerror or exc}",
        "choose a place with -o that is writable and has space",
    )
