"""Result files: one JSON document each, written whole or not at all."""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from kit.bundle import Bundle
from kit.errors import BundleError, OutputError, ResultError
from kit.manifest import Comparison
from kit.results.schema import (
    SCHEMA_VERSION,
    AccuracyResult,
    ArtifactRef,
    BundleRef,
    LatencyResult,
    ParityRef,
    Result,
)

_ADAPTER: TypeAdapter[LatencyResult | AccuracyResult] = TypeAdapter(Result)


def write(result: LatencyResult | AccuracyResult, path: Path) -> None:
    """Write a result file.

    Raises:
        ResultError: it holds what `read` would refuse.
        OutputError: the place cannot be written to.
    """
    text = result.model_dump_json(indent=1) + "\n"
    try:
        _ADAPTER.validate_json(text)  # a copy with changes was never validated
    except ValidationError as exc:
        raise ResultError(f"{path} is not written: {_first(exc)}", "measure again") from exc
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if path.exists() and not path.is_file():  # a device would be replaced by a file
            raise OSError(errno.EINVAL, "it is no file")
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as exc:
        raise OutputError.of(exc, path, "choose another place with -o") from exc
    finally:
        with suppress(OSError):  # below a file there is none to remove
            part.unlink()


def read(path: Path) -> LatencyResult | AccuracyResult:
    """Read and validate a result file.

    Raises:
        ResultError: it is missing, not a result, or of a newer schema.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ResultError(
            f"cannot read the result {path}: {exc.strerror}", "`kit bench -o FILE` writes one"
        ) from exc
    except (ValueError, RecursionError) as exc:
        raise ResultError(
            f"{path} is not a result file: {exc}", "`kit bench -o FILE` writes one"
        ) from exc
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise ResultError(
            f"{path} has result schema {version}; this kit reads up to {SCHEMA_VERSION}",
            "update kit",
        )
    try:
        return _ADAPTER.validate_python(_upgraded(raw, version))
    except ValidationError as exc:
        raise ResultError(f"{path} is not a result file: {_first(exc)}", "measure again") from exc


def _first(exc: ValidationError) -> str:
    """Return where the first fault is, and which."""
    first = exc.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def _upgraded(raw: Any, version: object) -> Any:
    """Return the content of a file with what older schemas said in another way."""
    if not isinstance(version, int) or version >= 3 or not isinstance(raw.get("runs"), list):
        return raw
    for run in raw["runs"]:
        plan = run.get("plan") if isinstance(run, dict) else None
        if isinstance(plan, dict) and plan.get("name") == "quick":
            plan.setdefault("memory", False)
    return raw


def _parity(bundle: Bundle, found: Comparison) -> ParityRef:
    try:
        return ParityRef(
            against=found.against,
            images=found.images,
            max_abs=found.max_abs,
            sqnr_db=found.sqnr_db,
            agreement=found.agreement,
        )
    except ValidationError as exc:
        raise BundleError(
            f"{bundle.path} has a parity with the {found.against} that is not a finite number",
            "build it again",
        ) from exc


def describe(bundle: Bundle) -> BundleRef:
    """Return what a result says about the bundle it measured.

    Raises:
        BundleError: it says of itself what is not a finite number.
    """
    manifest = bundle.manifest
    refs = [
        ArtifactRef(
            format=a.format,
            quantize=a.quantize,
            size=manifest.files[a.file].size,
            sha256=manifest.files[a.file].sha256,
            runtime=f"{a.runtime.name} {a.runtime.version}",
            parity=tuple(_parity(bundle, c) for c in a.parity),
        )
        for a in manifest.artifacts
    ]
    recipe = manifest.recipe
    return BundleRef(
        name=bundle.path.resolve().name,
        hash=bundle.hash,
        model=recipe.model,
        quantize=recipe.quantize,
        granularity=recipe.granularity,
        resolution=recipe.resolution,
        width=recipe.width,
        artifacts=tuple(refs),
    )
