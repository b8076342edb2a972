"""Bundles: self-describing folders that are copied between machines.

    mobilenet_v2-224-static-per-channel/
      bundle.json            this schema, and the size and sha256 of every other file
      labels.txt             one category per line, if the model has names for its outputs
      tokenizer.json         of a model of text, as the package tokenizers reads it
      anchors.npy            [N, 4], of a detector whose boxes are relative to anchors
      encodings.json         scale and offset of every quantized tensor, see `kit.encodings`
      reference.safetensors  the float model, see `kit.formats._reference.aten`
      model-int8.ptl …       one file per artifact, named by its backend (if it is not the
                             format's own kernels) and precision (`kit.artifact_key`); a folder
                             where that is what the format's users expect
      golden/input.npy       [N, …], the golden inputs, which every runtime must answer
      golden/<name>.npy      [N, …], answers of the artifact `name` on the machine that built it
                             (with several inputs or outputs also input.1.npy, <name>.1.npy …)

`load` checks the hash of every file. `kit.manifest.schema` is the schema of `bundle.json`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import numpy as np
from pydantic import ValidationError

from kit import arrays, files, no_bundle
from kit.artifact_key import REFERENCE
from kit.documents import MAX_JSON_BYTES, fault_of, parse_json, reason, text_of
from kit.errors import BundleError, OutputError, brief
from kit.manifest.schema import SCHEMA_VERSION, FileEntry, Manifest
from kit.registry import FORMAT_NAMES
from kit.signature import FloatArray, Samples, TensorSpec

MANIFEST = no_bundle.MANIFEST
REFERENCE_FILE = "reference.safetensors"
ENCODINGS_FILE = "encodings.json"
_OLD_REFERENCE_FILE = "reference.pt2"  # of manifests of schema 1; read as data
_MAX_VALUES = 4_000_000  # in the manifest; most are hashes of training pictures
MAX_TOKENIZER_BYTES = 256 * 2**20
_MAX_LABELS_BYTES = 16 * 2**20
_LITTER = (".DS_Store", "Thumbs.db", "desktop.ini")  # file managers create them in any folder


class Bundle:
    """A bundle on disk with verified hashes.

    Attributes:
        path: the folder.
        manifest: the validated content of `bundle.json`.
        hash: SHA-256 of `bundle.json`, which holds the hashes of all other files; in hex.
    """

    def __init__(
        self, path: Path, manifest: Manifest, digest: str, labels: list[str] | None = None
    ) -> None:
        self.path = path
        self.manifest = manifest
        self.hash = digest
        self._labels = labels

    def file(self, artifact: str) -> Path:
        """Return the path of a model file by the artifact's name, or of ``reference``."""
        if artifact == REFERENCE:
            return self.path / _reference_file(self.manifest)
        return self.path / self.manifest.artifact(artifact).file

    def labels(self) -> list[str] | None:
        """Return the category names in output order, or None."""
        return self._labels

    def read_tokenizer(self) -> bytes | None:
        """Return the content of the tokenizer's file; None if the model takes no text.

        Raises:
            BundleError: it cannot be read.
        """
        if self.manifest.tokenization is None:
            return None
        name = self.manifest.tokenization.file
        try:
            return files.read(self.path / name, MAX_TOKENIZER_BYTES)
        except (OSError, ValueError) as exc:
            raise BundleError(
                f"cannot read {name} in {self.path}: {reason(exc)}", "build it again"
            ) from exc

    def read_anchors(self) -> FloatArray | None:
        """Return the anchors [N, 4] of a detector; None if the model has none.

        Raises:
            BundleError: they cannot be read, or are not as many as the boxes.
        """
        detection = self.manifest.detection
        if detection is None or detection.anchors is None:
            return None
        name = detection.anchors
        count = detection.count_boxes(self.manifest.signature.outputs[0].shape)
        try:
            anchors = arrays.read(self.path / name, TensorSpec(name=name, shape=(1, 4)), count + 1)
            if len(anchors) != count or not np.isfinite(anchors).all():
                raise ValueError(f"it does not hold {count} anchors")
        except (OSError, ValueError) as exc:
            raise BundleError(
                f"cannot read {name} in {self.path}: {reason(exc)}", "build it again"
            ) from exc
        return anchors

    def read_inputs(self, rows: int | None = None) -> Samples:
        """Return the golden inputs, or the first `rows` of them.

        Raises:
            BundleError: a file does not hold such an array, or it is empty.
        """
        golden = self.manifest.golden
        return self._read(golden.inputs, self.manifest.signature.inputs, rows)

    def read_answers(self, files: Sequence[str], rows: int | None = None) -> Samples:
        """Return answers to the golden inputs, or the first `rows` of them.

        Args:
            files: of `Manifest.golden`, one per output.
            rows: number of answers; None for all, which must be as many as the inputs.

        Raises:
            BundleError: a file does not hold such an array, or has fewer answers than inputs.
        """
        return self._read(files, self.manifest.signature.outputs, rows)

    def _read(
        self, names: Sequence[str], specs: tuple[TensorSpec, ...], rows: int | None
    ) -> Samples:
        """Read golden arrays, and check that they are of equal length and finite."""
        count = self.manifest.golden.images if rows is None else rows
        columns = []
        for name, spec in zip(names, specs, strict=True):
            try:
                column = arrays.read(self.path / name, spec, count)
                if not len(column):
                    raise ValueError("it is empty")
                if len(column) < count and rows is None:
                    raise ValueError(f"it holds {len(column)} of {count} golden inputs or answers")
                if not np.isfinite(column).all():
                    raise ValueError("it holds NaN or infinity")
            except (OSError, ValueError) as exc:
                raise BundleError(
                    f"{name} in {self.path} is not a golden array "
                    f"[N, {', '.join(map(str, spec.sample_shape))}] of {spec.dtype}: "
                    f"{reason(exc)}",
                    "build it again",
                ) from exc
            columns.append(column)
        return Samples(specs, tuple(columns))

    def __repr__(self) -> str:
        return f"Bundle({str(self.path)!r}, {self.hash[:12]})"


def load(path: str | Path) -> Bundle:
    """Read a bundle and check every file in it.

    If kit was killed while it replaced the bundle, the old one is restored first.

    Raises:
        BundleError: it is not a bundle, a file is missing, altered or not listed, or the
            schema is newer than this kit.
    """
    folder = Path(path)
    if not _is_text(folder):
        raise BundleError(
            f"the name of {text_of(folder)} is not UTF-8, and runtimes open no such file",
            "rename the folder",
        )
    files.restore(folder)
    content = _read_manifest(folder)
    manifest = _parse(folder, content)
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


def _is_text(path: Path) -> bool:
    """Return whether a path is valid UTF-8."""
    return text_of(path) == str(path)


def _read_manifest(folder: Path) -> bytes:
    try:
        return files.read(folder / MANIFEST, MAX_JSON_BYTES)
    except (OSError, ValueError) as exc:
        raise no_bundle.explain_no_bundle(folder, reason(exc)) from exc


def _parse(folder: Path, content: bytes) -> Manifest:
    try:
        raw = parse_json(content, _MAX_VALUES)
        version = raw.get("schema_version") if isinstance(raw, dict) else None
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise BundleError(
                f"{folder} has bundle schema {brief(version)}; this kit reads up to "
                f"{SCHEMA_VERSION}",
                "update kit, or build the bundle again with this one",
            )
        return Manifest.model_validate(raw)
    except ValueError as exc:
        what = fault_of(exc) if isinstance(exc, ValidationError) else str(exc)
        raise BundleError(
            f"{folder / MANIFEST} is not a valid bundle description: {what}", "build it again"
        ) from exc


def _inside(folder: Path, name: str) -> PurePosixPath:
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


def _check_file(folder: Path, name: str, entry: FileEntry) -> None:
    try:
        size, digest = files.measure(folder / _inside(folder, name))
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
    named = [_reference_file(manifest), *golden.inputs]
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
        model = folder / _inside(folder, artifact.file)
        stranger = _stranger(folder, set(manifest.files), model) if model.is_dir() else None
        if stranger is not None:
            raise BundleError(
                f"{folder} holds {stranger}, which is not of the bundle",
                "copy the bundle again, or build it again",
            )


def _reference_file(manifest: Manifest) -> str:
    return _OLD_REFERENCE_FILE if _OLD_REFERENCE_FILE in manifest.files else REFERENCE_FILE


def _read_labels(folder: Path, manifest: Manifest) -> list[str] | None:
    if manifest.labels is None:
        return None
    try:
        text = files.read(folder / manifest.labels, _MAX_LABELS_BYTES).decode()
    except (OSError, ValueError) as exc:
        raise BundleError(
            f"cannot read {manifest.labels} in {folder}: {reason(exc)}", "build it again"
        ) from exc
    names = text.splitlines()
    if len(names) != manifest.classes:
        raise BundleError(
            f"{manifest.labels} in {folder} names {len(names)} classes, but the model has "
            f"{manifest.classes} outputs",
            "build it again with the labels of this model",
        )
    return names


def entries(folder: Path) -> dict[str, FileEntry]:
    """Return size and SHA-256 of every file below a folder, by its relative path."""
    listed = {}
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = file.relative_to(folder).as_posix()
        if name != MANIFEST:
            size, digest = files.measure(file)
            listed[name] = FileEntry(size=size, sha256=digest)
    return listed


def write_manifest(folder: Path, fields: dict[str, object]) -> None:
    """Hash the files of a finished folder and write its `bundle.json`."""
    manifest = Manifest(files=entries(folder), **fields)
    text = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def copy(source: Path, target: Path) -> None:
    """Copy a bundle's manifest and the files that it lists; `load` checks the copy.

    Raises:
        BundleError: the source has no manifest.
        OSError: a file is missing, or cannot be written.
    """
    text = _read_manifest(source)
    for name in (*_parse(source, text).files, MANIFEST):
        file = target / _inside(source, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        if name == MANIFEST:
            file.write_bytes(text)
            continue
        with files.open_regular(source / name) as opened, file.open("xb") as written:
            shutil.copyfileobj(opened, written)


def check_target(target: Path) -> None:
    """Raise unless a bundle may be written to `target`.

    A folder at `target` is removed once the new bundle is complete, so it must hold nothing but a
    bundle.

    Raises:
        OutputError: `target` is not a bundle, or holds other files as well, or its name is not
            UTF-8, so that no runtime could open the bundle.
    """
    if not _is_text(target):
        raise OutputError(
            f"the name {text_of(target)} is not UTF-8, and runtimes open no such file",
            "choose another folder with -o",
        )
    if not os.path.lexists(target) or _is_empty_folder(target):
        return
    if target.is_file():
        raise OutputError(
            f"{target} exists and is not a bundle, which is a folder, but a file",
            "choose another folder with -o, or remove it",
        )
    try:
        own_files = {MANIFEST, *_parse(target, _read_manifest(target)).files}
        stranger = _stranger(target, own_files)
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


def _stranger(folder: Path, own_files: set[str], start: Path | None = None) -> str | None:
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


@contextmanager
def staged(target: Path) -> Iterator[Path]:
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
        files.restore(place)
        check_target(place)
        # Check again at the end: a build takes minutes, and files may have been added.
        with files.replacing_folder(place, lambda: check_target(place)) as work:
            yield work
    except OSError as exc:
        raise OutputError.of(exc, target, hint) from exc
