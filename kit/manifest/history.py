"""Translate manifests of older schemas, whose history is in `kit.manifest.schema`."""

from __future__ import annotations

from kit.artifact_key import ArtifactKey, PrecisionName, derive_precision
from kit.notices import read_text
from kit.registry import CLASSIFICATION


def translate(raw: dict[str, object], current: int) -> dict[str, object]:
    """Return a manifest in the current schema, in which it is also written again.

    What is no manifest of an older schema is returned as it is.

    Args:
        raw: the parsed file.
        current: number of the current schema.
    """
    version = raw.get("schema_version")
    if type(version) is not int or not 1 <= version < current:  # True is 1, too
        return raw
    if version < 3 and "signature" not in raw:
        raw = _translate_classifier(raw)
    if version < 4:
        raw = _translate_warnings(_translate_keys(raw))
    return {**_translate_kept(raw), "schema_version": current}


def _translate_kept(raw: dict[str, object]) -> dict[str, object]:
    """Translate a recipe that names no layer in float: before schema 7 it quantized all."""
    recipe = raw.get("recipe")
    if not isinstance(recipe, dict):
        return raw
    return {**raw, "recipe": {"keep_float": [], **recipe}}


def _translate_classifier(raw: dict[str, object]) -> dict[str, object]:
    """Translate a manifest of schema 1 or 2, which was for image classifiers only, to schema 3."""
    rest = {name: value for name, value in raw.items() if name not in ("input", "output")}
    tensors = ([raw[name]] if name in raw else [] for name in ("input", "output"))
    golden = rest.get("golden")
    if isinstance(golden, dict):
        one = {name: value for name, value in golden.items() if name != "input"}
        one["inputs"] = [golden["input"]] if "input" in golden else []
        for name in ("outputs", "graphs"):
            if isinstance(golden.get(name), dict):
                one[name] = {key: [file] for key, file in golden[name].items()}
        rest["golden"] = one
    signature = dict(zip(("inputs", "outputs"), tensors, strict=True))
    return {**rest, "task": CLASSIFICATION, "signature": signature}


def _translate_keys(raw: dict[str, object]) -> dict[str, object]:
    """Translate the keys of schemas before 4, which had one file per format."""
    recipe, golden, gate = raw.get("recipe"), raw.get("golden"), raw.get("gate")
    method = recipe.get("quantize") if isinstance(recipe, dict) else None
    precision = derive_precision(str(method or "static"))
    changed = {**raw}
    for field in ("artifacts", "failed"):
        if field in raw:
            changed[field] = _add_precision(raw[field], precision)
    if isinstance(gate, dict) and "rows" in gate:
        changed["gate"] = {**gate, "rows": _add_precision(gate["rows"], precision)}
    if "qconfig" in raw:
        changed["qconfig"] = _rename(raw["qconfig"], precision)
    if isinstance(golden, dict):
        names = [name for name in ("outputs", "graphs") if name in golden]
        renamed = {name: _rename(golden[name], precision) for name in names}
        changed["golden"] = {**golden, **renamed}
    return changed


def _translate_warnings(raw: dict[str, object]) -> dict[str, object]:
    """Translate the warnings of schemas before 4, which were sentences, to notices."""
    rest = {name: value for name, value in raw.items() if name != "warnings"}
    sentences = raw.get("warnings")
    if isinstance(sentences, list | tuple) and all(isinstance(text, str) for text in sentences):
        return {**rest, "notices": [read_text(text) for text in sentences]}
    return raw


def _add_precision(entries: object, precision: PrecisionName) -> object:
    if not isinstance(entries, list | tuple):
        return entries
    return [{"precision": precision, **e} if isinstance(e, dict) else e for e in entries]


def _rename(entries: object, precision: PrecisionName) -> object:
    """Return a table keyed by artifact name instead of format."""
    if not isinstance(entries, dict):
        return entries
    return {ArtifactKey(str(name), precision).name: value for name, value in entries.items()}
