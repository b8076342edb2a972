"""Result files: one JSON document each, written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from kit.bundle import Bundle
from kit.errors import OutputError, ResultError
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
        OutputError: the place cannot be written to.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(result.model_dump_json(indent=1) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as exc:
        part.unlink(missing_ok=True)
        raise OutputError(
            f"cannot write {path}: {exc.strerror or exc}", "choose another place with -o"
        ) from exc


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
        return _ADAPTER.validate_python(raw)
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(str(p) for p in first["loc"])
        raise ResultError(
            f"{path} is not a result file: {where}: {first['msg']}", "measure again"
        ) from exc


def describe(bundle: Bundle) -> BundleRef:
    """Return what a result says about the bundle it measured."""
    manifest = bundle.manifest
    refs = [
        ArtifactRef(
            format=a.format,
            quantize=a.quantize,
            size=manifest.files[a.file].size,
            sha256=manifest.files[a.file].sha256,
            runtime=f"{a.runtime.name} {a.runtime.version}",
            parity=tuple(
                ParityRef(
                    against=c.against,
                    images=c.images,
                    max_abs=c.max_abs,
                    sqnr_db=c.sqnr_db,
                    agreement=c.agreement,
                )
                for c in a.parity
            ),
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
