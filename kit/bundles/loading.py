"""Load bundles: read the manifest and check every file that it lists."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from kit import no_bundle
from kit.artifact_key import REFERENCE
from kit.bundles.bundle import MANIFEST, Bundle, name_reference
from kit.documents import (
    MAX_JSON_BYTES,
    decode_name,
    describe_fault,
    describe_read_failure,
    parse_json,
)
from kit.error_text import shorten_value
from kit.errors import BundleError
from kit.files import temporary, untrusted
from kit.manifest.schema import SCHEMA_VERSION, FileEntry, Manifest
from kit.registry import FORMAT_NAMES

_MAX_VALUES = 4_000_000  # in the manifest; most are hashes of training pictures
_MAX_LABELS_BYTES = 16 * 2**20
_LITTER = (".DS_Store", "Thumbs.db", "desktop.ini")  # file managers create them in any folder


def load_bundle(path: str | Path) -> Bundle:
    """Read a bundle and check every file in it.

    If kit was killed while it replaced the bundle, the old one is restored first.

    Raises:
        BundleError: it is not a bundle, a file is missing, altered or not listed, or the
            schema is newer than this kit.
    """
    folder = Path(path)
    if not is_text(folder):
        raise BundleError(
            f"the name of {decode_name(folder)} is not UTF-8, and runtimes open no such file",
            "rename the folder",
        )
    temporary.restore_folder(folder)
    content = read_manifest(folder)
    manifest = parse_manifest(folder, content)
    _check_place(folder, MANIFEST)
    for name, entry in manifest.files.items():
        _check_file(folder, name, entry)
    _check_listed(folder, manifest)
    labels = _read_labels(folder, manifest)
    return Bundle(folder, manifest, hashlib.sha256(content).hexdigest(), labels)


def check_named(loaded: Sequence[Bundle], names: Sequence[str]) -> None:
    """Check the names of formats and files that a user gave for some bundles.

    Raises:
        UnknownName: there is no such format, and no bundle has a file of that name.
    """
    keys = [key for bundle in loaded for key in bundle.manifest.artifact_keys]
    known_names = {*FORMAT_NAMES.list_all(), REFERENCE, *(key.name for key in keys)}
    for name in names:
        if name not in known_names and not any(key.is_named(name) for key in keys):
            raise FORMAT_NAMES.unknown(name, known_names)


def is_text(path: Path) -> bool:
    """Return whether a path is valid UTF-8."""
    return decode_name(path) == str(path)


def read_manifest(folder: Path) -> bytes:
    """Return the content of a bundle's `bundle.json`, unchecked.

    Raises:
        BundleError: it cannot be read.
    """
    try:
        return untrusted.read_file(folder / MANIFEST, MAX_JSON_BYTES)
    except (OSError, ValueError) as exc:
        raise no_bundle.explain_no_bundle(folder, describe_read_failure(exc)) from exc


def parse_manifest(folder: Path, content: bytes) -> Manifest:
    """Return the manifest in the content of a `bundle.json`.

    Raises:
        BundleError: it is not valid, or of a newer schema.
    """
    try:
        raw = parse_json(content, _MAX_VALUES)
        version = raw.get("schema_version") if isinstance(raw, dict) else None
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise BundleError(
                f"{folder} has bundle schema {shorten_value(version)}; this kit reads up to "
                f"{SCHEMA_VERSION}",
                "update kit, or build the bundle again with this one",
            )
        return Manifest.model_validate(raw)
    except ValueError as exc:
        what = describe_fault(exc) if isinstance(exc, ValidationError) else str(exc)
        raise BundleError(
            f"{folder / MANIFEST} is not a valid bundle description: {what}", "build it again"
        ) from exc


def find_inside(folder: Path, name: str) -> PurePosixPath:
    """Return a file name of the manifest as a path inside the bundle.

    Raises:
        BundleError: it leads out of the folder, or cannot be a name.
    """
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\0" in name:
        raise BundleError(
            f"{folder} lists a file outside itself, or that cannot be: {name!r}", "do not use it"
        )
    return pure


def _check_place(folder: Path, name: str) -> None:
    """Raise BundleError if a file is elsewhere, behind a symbolic link in the bundle."""
    if not Path(os.path.realpath(folder / name)).is_relative_to(os.path.realpath(folder)):
        raise BundleError(
            f"{name} in {folder} is outside the bundle: a symbolic link leads there",
            "copy the bundle with the files themselves in place of links, as cp -L does",
        )


def _check_file(folder: Path, name: str, entry: FileEntry) -> None:
    inside = find_inside(folder, name)
    _check_place(folder, name)
    try:
        size, digest = untrusted.measure_file(folder / inside)
    except OSError as exc:
        raise BundleError(
            f"{folder} has no {name} ({exc.strerror})", "copy the whole folder, or build it again"
        ) from exc
    if (size, digest) != (entry.size, entry.sha256):
        raise BundleError(
            f"{name} in {folder} was altered: its sha256 is not the one in {MANIFEST}",
            "copy the bundle again, or build it again",
        )


def _check_listed(folder: Path, manifest: Manifest) -> None:
    """Raise BundleError if the manifest names a file without its size and hash.

    A folder of a model holds its listed files only: a runtime opens all of it.
    """
    golden = manifest.golden
    named = [name_reference(manifest), *golden.inputs]
    for answers in (*golden.outputs.values(), *golden.graphs.values()):
        named += answers
    named += [] if manifest.labels is None else [manifest.labels]
    named += [] if manifest.encodings is None else [manifest.encodings]
    named += [] if manifest.tokenization is None else [manifest.tokenization.file]
    detection = manifest.detection
    named += [] if detection is None or detection.anchors is None else [detection.anchors]
    for name in named:
        if name not in manifest.files:
            raise BundleError(
                f"{folder / MANIFEST} gives no hash of {name}, which belongs to the bundle",
                "copy the bundle again, or build it again",
            )
    for artifact in manifest.artifacts:
        manifest.measure(artifact.file)
        model = folder / find_inside(folder, artifact.file)
        stranger = find_stranger(folder, set(manifest.files), model) if model.is_dir() else None
        if stranger is not None:
            raise BundleError(
                f"{folder} holds {stranger}, which is not of the bundle",
                "copy the bundle again, or build it again",
            )


def _read_labels(folder: Path, manifest: Manifest) -> list[str] | None:
    if manifest.labels is None:
        return None
    try:
        text = untrusted.read_file(folder / manifest.labels, _MAX_LABELS_BYTES).decode()
    except (OSError, ValueError) as exc:
        raise BundleError(
            f"cannot read {manifest.labels} in {folder}: {describe_read_failure(exc)}",
            "build it again",
        ) from exc
    names = text.splitlines()
    if len(names) != manifest.classes:
        raise BundleError(
            f"{manifest.labels} in {folder} names {len(names)} classes, but the model has "
            f"{manifest.classes} outputs",
            "build it again with the labels of this model",
        )
    return names


def find_stranger(folder: Path, own_files: set[str], start: Path | None = None) -> str | None:
    """Return the path of something that is neither a folder nor a file of the bundle.

    Args:
        folder: of the bundle.
        own_files: paths of its files.
        start: a folder in it; None for all of it.
    """

    def fail(exc: OSError) -> None:
        raise exc  # a folder that cannot be listed may hold anything

    for root, folders, names in os.walk(start or folder, onerror=fail):
        links = [name for name in folders if Path(root, name).is_symlink()]
        for name in sorted(set(names) - set(_LITTER)) + links:
            path = Path(root, name).relative_to(folder).as_posix()
            if path not in own_files:
                return path
    return None
