"""The one thing that travels: a folder that describes itself.

    mobilenet_v2-224-static-per-channel/
      bundle.json            this schema, and the size and sha256 of every other file
      labels.txt             one category a line, if the model has names for its outputs
      reference.pt2          the float model, a `torch.export` program
      model.ptl model.pte …  one file per format
      golden/input.npy       float32 [N, 3, H, W], preprocessed natural pictures
      golden/<format>.npy    float32 [N, classes], what that format's runtime answered here

Everything is hash-checked when it is read. Schema history: 1 first version.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kit.errors import BundleError, OutputError
from kit.recipe import Recipe

SCHEMA_VERSION = 1
MANIFEST = "bundle.json"
REFERENCE = "reference"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileEntry(_Record):
    """Size in bytes and SHA-256 of one file of the bundle."""

    size: int
    sha256: str


class Tensor(_Record):
    """Shape and type of the model's input or output; the first dimension is the batch."""

    name: str
    shape: tuple[int, ...]
    dtype: Literal["float32"] = "float32"


class Preprocessing(_Record):
    """From a decoded picture to the input tensor: resize, centre crop, scale, normalize.

    Attributes:
        resize: length of the shorter side after the antialiased bilinear resize, in pixels.
        crop: side of the centre crop, in pixels.
        mean: per channel (RGB), subtracted after scaling to 0..1.
        std: per channel, divided by afterwards.
    """

    resize: int
    crop: int
    interpolation: Literal["bilinear-antialias"] = "bilinear-antialias"
    color: Literal["RGB"] = "RGB"
    layout: Literal["NCHW"] = "NCHW"
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Comparison(_Record):
    """How near one set of logits is to another, over the golden inputs.

    Attributes:
        against: what the answers were compared with.
        images: number of pictures.
        max_abs: largest absolute difference of a logit.
        sqnr_db: signal to quantization noise ratio in dB; None when the two are equal.
        agreement: share of pictures with the same top-1 category, 0..1.
        passed: the thresholds of the format hold.
        thresholds: the limits that were asked for, by name.
    """

    against: Literal["quantized graph", "float reference"]
    images: int
    max_abs: float
    sqnr_db: float | None
    agreement: float
    passed: bool
    thresholds: dict[str, float]


class Runtime(_Record):
    """What runs the file: the runtime's name, and the version that verified it."""

    name: str
    version: str


class Artifact(_Record):
    """One model file.

    Attributes:
        format: member of `kit.formats` that wrote it.
        file: path inside the bundle.
        quantize: the method, or ``none``.
        format_version: of the container (Lite bytecode, ExecuTorch program, ONNX opset).
        operators: how often each operator occurs in the file.
        delegates: per backend, the number of operators that it took over.
        not_delegated: operators that the runtime's own kernels run, where the format delegates.
        parity: comparisons made at build time.
    """

    format: str
    file: str
    quantize: str
    format_version: str
    runtime: Runtime
    operators: dict[str, int]
    delegates: dict[str, int] = Field(default_factory=dict)
    not_delegated: dict[str, int] = Field(default_factory=dict)
    parity: tuple[Comparison, ...] = ()


class Source(_Record):
    """Where the weights came from and what they are."""

    source: str
    sha256: str


class Calibration(_Record):
    """The pictures that set the activation ranges.

    Attributes:
        source: where they came from.
        images: how many.
        sha256: of the set.
        pictures: SHA-256 of each picture file, so that an evaluation can leave it out.
        worst_layer: the layer whose range covers natural pictures worst.
        outside: share of that layer's values, on the golden pictures, that are clipped.
    """

    source: str
    images: int
    sha256: str
    pictures: tuple[str, ...] = ()
    worst_layer: str
    outside: float


class Golden(_Record):
    """Golden input, and per format (and `reference`) the answers, as paths in the bundle."""

    input: str
    images: int
    source: str
    outputs: dict[str, str]


class Manifest(_Record):
    """The content of `bundle.json`."""

    schema_version: int = SCHEMA_VERSION
    kit_version: str
    created: datetime
    recipe: Recipe
    recipe_hash: str
    parameters: int
    input: Tensor
    output: Tensor
    preprocessing: Preprocessing
    labels: str | None
    weights: Source
    calibration: Calibration | None
    corrections: tuple[str, ...]
    qconfig: dict[str, dict[str, str]]
    golden: Golden
    artifacts: tuple[Artifact, ...]
    warnings: tuple[str, ...]
    tools: dict[str, str]
    files: dict[str, FileEntry]

    def artifact(self, name: str) -> Artifact:
        """Return the artifact of a format.

        Raises:
            BundleError: the bundle has no file of that format.
        """
        for artifact in self.artifacts:
            if artifact.format == name:
                return artifact
        have = ", ".join(a.format for a in self.artifacts)
        raise BundleError(f"the bundle has no {name} file", f"it has: {have}")


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
