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

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from kit.errors import BundleError, OutputError
from kit.manifest import SCHEMA_VERSION, FileEntry, Manifest

MANIFEST = "bundle.json"
REFERENCE = "reference"
_REFERENCE_FILE = "reference.pt2"
_LITTER = (".DS_Store", "Thumbs.db", "desktop.ini")  # file managers leave them everywhere


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
            return self.path / _REFERENCE_FILE
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
        BundleError: it is not a bundle, a file is missing, altered or not listed, or the
            schema is newer than this kit.
    """
    folder = Path(path)
    text = _read_manifest(folder)
    manifest = _parse(folder, text)
    for name, entry in manifest.files.items():
        _check_file(folder, name, entry)
    _check_listed(folder, manifest)
    return Bundle(folder, manifest, hashlib.sha256(text).hexdigest())


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
    if pure.is_absolute() or ".." in pure.parts or "\0" in name:
        raise BundleError(
            f"{folder} lists a file outside itself, or that cannot be: {name!r}", "do not use it"
        )
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


def _check_listed(folder: Path, manifest: Manifest) -> None:
    """Raise if the manifest speaks of a file whose size and hash it does not give."""
    golden = manifest.golden
    named = [_REFERENCE_FILE, golden.input, *golden.outputs.values()]
    named += [artifact.file for artifact in manifest.artifacts]
    named += [] if manifest.labels is None else [manifest.labels]
    for name in named:
        if name not in manifest.files:
            raise BundleError(
                f"{folder / MANIFEST} gives no hash of {name}, which belongs to the bundle",
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

    What is there is removed once the new bundle is whole, so it must be nothing but a bundle.

    Raises:
        OutputError: something that is not a bundle stands there, or files beside a bundle's.
    """
    if not os.path.lexists(target) or _is_empty_folder(target):
        return
    try:
        known = {MANIFEST, *_parse(target, _read_manifest(target)).files}
        stranger = _stranger(target, known)
    except (BundleError, OSError) as exc:
        raise OutputError(
            f"{target} exists and is not a bundle that can be replaced: {exc}",
            "choose another folder with -o, or remove it",
        ) from exc
    if stranger is not None:
        raise OutputError(
            f"{target} holds {stranger}, which is not of the bundle there and would be lost",
            "choose another folder with -o, or move that away",
        )


def _is_empty_folder(path: Path) -> bool:
    try:
        return path.is_dir() and not any(path.iterdir())
    except OSError:
        return False


def _stranger(folder: Path, known: set[str]) -> str | None:
    """Return the path of something that is neither a folder nor a file of the bundle."""

    def fail(exc: OSError) -> None:
        raise exc  # a folder that cannot be looked into may hold anything

    for root, folders, files in os.walk(folder, onerror=fail):
        links = [name for name in folders if Path(root, name).is_symlink()]
        for name in sorted(set(files) - set(_LITTER)) + links:
            path = Path(root, name).relative_to(folder).as_posix()
            if path not in known:
                return path
    return None


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Give a temporary folder beside `target` that becomes `target` on success.

    Whatever ends the block early (an error, Ctrl-C) leaves `target` as it was and
    removes the temporary folder. A link to a folder stays one; what it leads to is replaced.

    Raises:
        OutputError: the place cannot be written to, the disk is full, or something that is
            not a bundle stands there.
    """
    try:
        place = target.resolve()
        check_target(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".part", dir=place.parent))
    except (OSError, RuntimeError) as exc:  # links that lead to each other
        raise _cannot_write(target, exc) from exc
    try:
        work.chmod(0o755)  # mkdtemp is private; a bundle is for sharing
        yield work
        _swap(work, place)
    except OSError as exc:
        raise _cannot_write(target, exc) from exc
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _swap(work: Path, target: Path) -> None:
    """Put the new folder in the place of the old one; of builds at once, the last one stays."""
    old = work.with_suffix(".old")
    try:
        while True:
            _set_aside(target, old)
            try:
                work.rename(target)
                return
            except OSError as exc:
                if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
    except BaseException:
        if old.exists() and not target.exists():
            old.rename(target)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _set_aside(target: Path, old: Path) -> None:
    check_target(target)  # again: a build takes minutes, in which files may have come
    shutil.rmtree(old, ignore_errors=True)
    with suppress(FileNotFoundError):
        target.rename(old)


def _cannot_write(target: Path, exc: OSError | RuntimeError) -> OutputError:
    return OutputError.of(exc, target, "choose a place with -o that is writable and has space")
