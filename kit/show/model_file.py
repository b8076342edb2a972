"""Look into model files: of a bundle, or any other, which is recognized by its content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kit import formats
from kit.bundles.bundle import MANIFEST, Bundle
from kit.encodings import Encodings
from kit.encodings import read as read_encodings
from kit.errors import InputError, MissingTool
from kit.files import untrusted
from kit.formats.structure import ModelStructure, translate_errors
from kit.results.latency import LatencyResult
from kit.show.sources import name_sources
from kit.show.times import Times, find_times

_HINT = "give a bundle or a model file"


@dataclass(frozen=True)
class ModelFile:
    """What is known about a model file.

    Attributes:
        name: key in the bundle, as ``onnx-int8``; of another file its format.
        file: name of the file.
        size: in bytes.
        structure: None for a file that kit cannot look into.
        times: of operators; None if no result has any.
        delegates: operators that each delegate computes, as the bundle says.
        not_delegated: operators that are left to the runtime's own kernels.
        missing: why there is no structure, if a package is missing.
    """

    name: str
    file: str
    size: int
    structure: ModelStructure | None
    times: Times | None = None
    delegates: int = 0
    not_delegated: int = 0
    missing: MissingTool | None = None


def read_bundle_file(bundle: Bundle, name: str, results: Sequence[LatencyResult] = ()) -> ModelFile:
    """Look into a bundle's file.

    Args:
        bundle: that has the file.
        name: of the artifact, as ``onnx-int8``.
        results: of `kit bench`, which may have times of the file's operators.

    Raises:
        BundleError: it is damaged, or not in the bundle.
    """
    artifact = bundle.manifest.artifact(name)
    path, entry = bundle.file(name), bundle.manifest.measure(artifact.file)
    try:
        structure = _read(artifact.format, path)
    except MissingTool as exc:
        return ModelFile(name, artifact.file, entry.size, None, missing=exc)
    if structure is not None and (encodings := _load_encodings(bundle)) is not None:
        structure = name_sources(structure, encodings)
    return ModelFile(
        name,
        artifact.file,
        entry.size,
        structure,
        find_times(entry.sha256, artifact.format, structure, results),
        sum(artifact.delegates.values()),
        sum(artifact.not_delegated.values()) if artifact.delegates else 0,
    )


def read_plain_file(path: Path, results: Sequence[LatencyResult] = ()) -> ModelFile:
    """Look into a file, or a folder that is one model, which is in no bundle.

    Raises:
        InputError: it cannot be read, or no format recognizes its content.
        BundleError: it is damaged.
        MissingTool: a package that its format needs is not installed.
    """
    if path.is_dir():
        # Results name it by the digest of a bundle's listing, which it is not in.
        size, digest = sum(one.stat().st_size for one in path.rglob("*") if one.is_file()), ""
    else:
        try:
            size, digest = untrusted.measure_file(path)
        except OSError as exc:
            raise InputError(f"cannot read {path}: {exc.strerror}", _HINT) from exc
        if not size:
            raise InputError(f"{path} is empty", _HINT)
    name = _recognize(path)
    structure = _read(name, path)
    times = find_times(digest, name, structure, results)
    return ModelFile(name, path.name, size, structure, times)


def is_model_folder(path: Path) -> bool:
    """Return whether a folder is one model, such as a Core ML package, and no bundle."""
    if not path.is_dir() or (path / MANIFEST).exists():
        return False
    return any(formats.get_format(name).recognizes(path) for name in formats.list_formats())


def _recognize(path: Path) -> str:
    """Return the format of a file by its content.

    Raises:
        InputError: there is none.
    """
    names = formats.list_formats()
    format_name = next((name for name in names if formats.get_format(name).recognizes(path)), None)
    if format_name is None:
        suffixes = ", ".join(formats.get_format(name).suffix for name in names)
        raise InputError(
            f"{path} is no model file that kit knows, by its content",
            f"give a bundle or one of {suffixes}; weights alone have no graph",
        )
    return format_name


def _read(name: str, path: Path) -> ModelStructure | None:
    with translate_errors(path):
        return formats.get_format(name).read_structure(path)


def _load_encodings(bundle: Bundle) -> Encodings | None:
    name = bundle.manifest.encodings
    return None if name is None else read_encodings(bundle.path / name)
