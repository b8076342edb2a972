"""Result files: one JSON document each, written whole or not at all."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from kit import files
from kit.bundle import Bundle
from kit.documents import MAX_JSON_BYTES, fault_of, parse_json, reason, text_of
from kit.errors import OutputError, ResultError, brief
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
        raise ResultError(f"{path} is not written: {fault_of(exc)}", "measure again") from exc
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if path.exists() and not path.is_file():  # a device would be replaced by a file
            raise OSError(errno.EINVAL, "it is no file")
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as exc:
        raise OutputError(
            f"cannot write {path}: {exc.strerror or exc}", "choose another place with -o"
        ) from exc
    finally:
        with suppress(OSError):  # below a file there is none to remove
            part.unlink()


def read(path: Path) -> LatencyResult | AccuracyResult:
    """Read and validate a result file.

    Raises:
        ResultError: it is missing, not a result, or of a newer schema.
    """
    hint = "`kit bench -o FILE` writes one"
    try:
        content = files.read(path, MAX_JSON_BYTES)
    except (OSError, ValueError) as exc:
        raise ResultError(f"cannot read the result {path}: {reason(exc)}", hint) from exc
    try:
        raw = parse_json(content)
    except ValueError as exc:
        raise ResultError(f"{path} is not a result file: {exc}", hint) from exc
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise ResultError(
            f"{path} has result schema {brief(version)}; this kit reads up to {SCHEMA_VERSION}",
            "update kit",
        )
    try:
        return _ADAPTER.validate_python(_upgraded(raw, version))
    except ValidationError as exc:
        raise ResultError(f"{path} is not a result file: {fault_of(exc)}", "measure again") from exc


def _upgraded(raw: Any, version: object) -> Any:
    """Return the content of a file with what older schemas said in another way."""
    if not isinstance(version, int) or version >= 3 or not isinstance(raw.get("runs"), list):
        return raw
    for run in raw["runs"]:
        plan = run.get("plan") if isinstance(run, dict) else None
        if isinstance(plan, dict) and plan.get("name") == "quick":
            plan.setdefault("memory", False)
    return raw


def _parity(comparison: Comparison) -> ParityRef:
    return ParityRef(
        against=comparison.against,
        images=comparison.images,
        max_abs=comparison.max_abs,
        sqnr_db=comparison.sqnr_db,
        agreement=comparison.agreement,
    )


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
            parity=tuple(_parity(c) for c in a.parity),
        )
        for a in manifest.artifacts
    ]
    recipe = manifest.recipe
    return BundleRef(
        name=text_of(bundle.path.resolve().name),
        hash=bundle.hash,
        model=recipe.model,
        quantize=recipe.quantize,
        granularity=recipe.granularity,
        resolution=recipe.resolution,
        width=recipe.width,
        artifacts=tuple(refs),
    )
