"""Read and write model packages: folders that Xcode opens as one model.

    model.mlpackage/
      Manifest.json                              the items, and which of them is the model
      Data/com.apple.CoreML/model.mlmodel        the specification, with the ML program
      Data/com.apple.CoreML/weights/weight.bin   its constants

https://apple.github.io/coremltools/docs-guides/source/model-scripting.html - coremltools writes
and parses them. What differs between two conversions of one model is replaced, so that equal
builds give equal bundles.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from kit.documents import parse_json
from kit.error_text import get_first_line
from kit.errors import BundleError, KitError
from kit.files import untrusted
from kit.formats.extra_packages import import_package, silence_converters

CoreMlObject = Any  # of coremltools, which has no types, and of the package's JSON
_MANIFEST = "Manifest.json"
_MAX_MANIFEST_BYTES = 1 << 20
_MAX_MODEL_BYTES = (1 << 31) - 1  # of protobuf's messages
_CONVERSION_DATE = "com.github.apple.coremltools.conversion_date"
FUNCTION = "main"


@dataclass(frozen=True)
class Package:
    """What a package contains.

    Attributes:
        model: its specification, a protobuf message.
        function: the function ``main`` of its ML program, with all constants.
        file: of the specification.
    """

    model: CoreMlObject
    function: CoreMlObject
    file: Path


def import_coremltools(module: str = "coremltools") -> CoreMlObject:
    """Return coremltools, or one of its modules.

    Raises:
        MissingTool: it is not installed.
    """
    with silence_converters():
        return import_package(module, "coremltools", "coreml")


def read_package(path: Path) -> Package:
    """Read a package completely.

    Raises:
        BundleError: it is not a model package with an ML program, or it is damaged.
    """
    with _reading(path):
        file = find_model(path)  # before coremltools, whose import takes seconds
        model = read_model(file)
        loader = import_coremltools("coremltools.converters.mil.frontend.milproto.load")
        program = loader.load(model, model.specificationVersion, str(file.parent / "weights"))
        function = program.functions[FUNCTION]
        if not function.operations:
            raise ValueError("it has no operations")
    return Package(model, function, file)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        with silence_converters():
            yield
    except OSError as exc:
        reason = exc.strerror or get_first_line(exc)
        raise BundleError(f"cannot read {path}: {reason}", "build it again") from exc
    except (KitError, MemoryError):
        raise
    except Exception as exc:  # whatever a parser raises about content that it did not expect
        raise BundleError(
            f"{path} is not a Core ML package, or it is damaged: {get_first_line(exc)}",
            "build it again",
        ) from exc


def find_model(path: Path) -> Path:
    """Return the file of the specification in a package.

    Raises:
        OSError: the package cannot be read.
        ValueError: its manifest names none.
    """
    raw: CoreMlObject = parse_json(untrusted.read_file(path / _MANIFEST, _MAX_MANIFEST_BYTES))
    try:
        name = raw["itemInfoEntries"][raw["rootModelIdentifier"]]["path"]
        inside = PurePosixPath(name)
    except (KeyError, TypeError) as exc:
        raise ValueError(f"{_MANIFEST} names no model") from exc
    if inside.is_absolute() or ".." in inside.parts:
        raise ValueError(f"{_MANIFEST} names a file outside the package")
    return path / "Data" / inside


def is_package(path: Path) -> bool:
    """Return whether a folder is a package whose manifest names a specification in it."""
    try:
        return find_model(path).is_file()
    except (OSError, ValueError):
        return False


def read_model(file: Path) -> CoreMlObject:
    """Return a specification.

    Raises:
        OSError: the file cannot be read.
        Exception: it is no specification.
    """
    model = import_coremltools("coremltools.proto.Model_pb2").Model()
    model.ParseFromString(untrusted.read_file(file, _MAX_MODEL_BYTES))
    if model.WhichOneof("Type") != "mlProgram":
        raise ValueError("it has no ML program")
    return model


def write_model(model: CoreMlObject, file: Path) -> None:
    """Write a specification; equal ones give equal bytes."""
    file.write_bytes(model.SerializeToString(deterministic=True))


def write_package(converted: CoreMlObject, path: Path) -> None:
    """Write what coremltools converted as a package.

    Args:
        converted: a `coremltools.models.MLModel`.
        path: of the package, which does not exist.
    """
    converted.save(str(path))
    (path / "executorch_debug_handle_mapping.json").unlink(missing_ok=True)
    file = find_model(path)
    model = read_model(file)
    model.description.metadata.userDefined.pop(_CONVERSION_DATE, None)
    write_model(model, file)
    _name_items(path / _MANIFEST)


def _name_items(manifest: Path) -> None:
    """Replace the random identifiers of a package's items by those of their paths."""
    raw: CoreMlObject = json.loads(manifest.read_text(encoding="utf-8"))
    names = {
        old: str(uuid.uuid5(uuid.NAMESPACE_URL, entry["path"]))
        for old, entry in raw["itemInfoEntries"].items()
    }
    raw["itemInfoEntries"] = {names[old]: one for old, one in raw["itemInfoEntries"].items()}
    raw["rootModelIdentifier"] = names[raw["rootModelIdentifier"]]
    text = json.dumps(raw, indent=4, sort_keys=True)
    manifest.write_text(text + "\n", encoding="utf-8")
