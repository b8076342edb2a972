"""Result files: one JSON document each, written atomically."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from kit.artifact_key import REFERENCE, ArtifactKey, derive_precision
from kit.bundles.bundle import Bundle
from kit.documents import (
    MAX_JSON_BYTES,
    decode_name,
    describe_fault,
    describe_read_failure,
    parse_json,
)
from kit.error_text import shorten_value
from kit.errors import OutputError, ResultError
from kit.files import atomic, untrusted
from kit.manifest.artifacts import Comparison
from kit.notices import read_text
from kit.results.context import ArtifactRef, BundleRef, ParityRef
from kit.results.kinds import KINDS, AnyResult, Result
from kit.results.schema import SCHEMA_VERSION

_SWEPT = re.compile(r"--threads ([0-9]{1,6})(?: --cpus ([a-z]+))?")

_RENAMED_IN_8 = {"most_repeats": "max_repeats", "most_pairs": "max_pairs"}

_ADAPTER: TypeAdapter[AnyResult] = TypeAdapter(Result)


def write(result: AnyResult, path: Path) -> None:
    """Write a result file.

    Raises:
        ResultError: `read` would refuse it.
        OutputError: the path cannot be written to.
    """
    text = result.model_dump_json(indent=1) + "\n"
    try:
        _ADAPTER.validate_json(text)  # a copy with changes was never validated
    except ValidationError as exc:
        raise ResultError(f"{path} is not written: {describe_fault(exc)}", "measure again") from exc
    try:
        atomic.write_file(path, text)
    except OSError as exc:
        raise OutputError.of(exc, path, "choose another place with -o") from exc


def read(path: Path) -> AnyResult:
    """Read and validate a result file.

    Raises:
        ResultError: it is missing, not a result, or of a newer schema.
    """
    hint = "`kit bench -o FILE` writes one"
    try:
        content = untrusted.read_file(path, MAX_JSON_BYTES)
    except (OSError, ValueError) as exc:
        raise ResultError(
            f"cannot read the result {path}: {describe_read_failure(exc)}", hint
        ) from exc
    try:
        raw = parse_json(content)
    except ValueError as exc:
        raise ResultError(f"{path} is not a result file: {exc}", hint) from exc
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise ResultError(
            f"{path} has result schema {shorten_value(version)}; "
            f"this kit reads up to {SCHEMA_VERSION}",
            "update kit",
        )
    kind = raw.get("kind") if isinstance(raw, dict) else None
    if kind not in KINDS:
        what = "it says no kind" if kind is None else f"its kind is {shorten_value(kind)}"
        raise ResultError(f"{path} is not a result file: {what}", hint)
    try:
        return _ADAPTER.validate_python(_upgraded(raw, version))
    except ValidationError as exc:
        raise ResultError(
            f"{path} is not a result file: {describe_fault(exc)}", "measure again"
        ) from exc


def _upgraded(raw: object, version: object) -> object:
    """Return the content of a file, translated from older schemas to today's."""
    if not isinstance(raw, dict) or type(version) is not int or not 1 <= version < SCHEMA_VERSION:
        return raw
    _upgrade_runs(raw, version)
    recommended = raw.get("recommended")
    if version < 6 and isinstance(recommended, dict):
        raw["recommended"] = {name: _recommendation(o) for name, o in recommended.items()}
    if version < 8:
        _add_keys(raw)
    raw["schema_version"] = SCHEMA_VERSION  # `write` writes today's schema only
    return raw


def _upgrade_runs(raw: dict[str, object], version: int) -> None:
    runs = raw.get("runs")
    for run in runs if isinstance(runs, list) else ():
        if isinstance(run, dict):
            _rename_plan_fields(run.get("plan"))
            if version < 6:
                _upgrade_run(run, version)


def _rename_plan_fields(plan: object) -> None:
    """Rename what schema 8 renamed in a run's plan."""
    if isinstance(plan, dict):
        for old, new in _RENAMED_IN_8.items():
            if old in plan:
                plan[new] = plan.pop(old)


def _add_keys(raw: dict[str, object]) -> None:
    """Add keys of files where formats were keys: bundles had one file per format, one method."""
    bundle = raw.get("bundle")
    bundle = bundle if isinstance(bundle, dict) else {}
    precision = derive_precision(str(bundle.get("quantize")))
    for entries in (raw.get("runs"), raw.get("rows"), bundle.get("artifacts")):
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and "quantize" in entry:
                entry.setdefault("precision", derive_precision(str(entry["quantize"])))
    for owner, field in ((bundle, "failed"), (raw, "recommended")):
        table = owner.get(field)
        if isinstance(table, dict):
            owner[field] = {ArtifactKey(k, precision).name: v for k, v in table.items()}


def _upgrade_run(run: dict[str, object], version: int) -> None:
    plan = run.get("plan")
    if version < 3 and isinstance(plan, dict) and plan.get("name") == "quick":
        plan.setdefault("memory", False)
    warnings = run.get("warnings")
    if isinstance(warnings, list) and all(isinstance(words, str) for words in warnings):
        del run["warnings"]
        run["notices"] = [read_text(words) for words in warnings]


def _recommendation(options: object) -> object:
    """Return what options such as ``--threads 2 --cpus big`` mean; anything else as it is."""
    match = _SWEPT.fullmatch(options) if isinstance(options, str) else None
    return {"threads": int(match[1]), "cpus": match[2] or "all"} if match else options


def refer(comparison: Comparison) -> ParityRef:
    """Return what a result stores of a comparison.

    Raises:
        ValidationError: a number in it is not finite.
    """
    return ParityRef(**comparison.model_dump(include=set(ParityRef.model_fields)))


def find_digest(bundle: Bundle, name: str) -> str:
    """Return the SHA-256 of a bundle's file of that name, or of its float model.

    Raises:
        BundleError: it has none.
    """
    file = bundle.file(name).relative_to(bundle.path)
    return bundle.manifest.measure(file.as_posix()).sha256


def find_runtime(bundle: Bundle, name: str) -> str:
    """Return the name of the distribution that runs a bundle's file of that name.

    Raises:
        BundleError: the bundle has none.
    """
    return "torch" if name == REFERENCE else bundle.manifest.artifact(name).runtime.name


def describe(bundle: Bundle) -> BundleRef:
    """Return what a result stores of the measured bundle."""
    manifest = bundle.manifest
    refs = [
        ArtifactRef(
            **asdict(a.key),
            quantize=a.quantize,
            **manifest.measure(a.file).model_dump(),
            runtime=f"{a.runtime.name} {a.runtime.version}",
            parity=tuple(refer(c) for c in a.parity),
            executed=a.executed,
        )
        for a in manifest.artifacts
    ]
    recipe = manifest.recipe
    return BundleRef(
        name=decode_name(bundle.path.resolve().name),
        hash=bundle.hash,
        model=recipe.model,
        quantize=recipe.quantize,
        granularity=recipe.granularity,
        resolution=recipe.resolution,
        input_width=recipe.input_width,
        width=recipe.width,
        artifacts=tuple(refs),
        failed={f.name: f.reason.partition("\n")[0] for f in manifest.failed},
    )
