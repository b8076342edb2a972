"""Labels of rows: as short as possible, but unique."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from kit import formats
from kit.artifact_key import REFERENCE, ArtifactKey
from kit.results.context import ArtifactRef, BundleRef

Tone = Literal["int8", "fp32", "eager"]


def name_format(fmt: str) -> str:
    """Return the suffix of a format's files, ``.pte``; or the name of an unknown format."""
    if fmt == REFERENCE:
        return "eager PyTorch"
    if fmt not in formats.list_formats():
        return fmt
    return formats.get_format(fmt).suffix


def choose_tone(key: ArtifactKey) -> Tone:
    """Return a row's colour: ``eager``, ``int8`` for any integers, ``fp32`` for any float."""
    if key.format == REFERENCE:
        return "eager"
    return "int8" if key.quantized else "fp32"


def describe_method(quantize: str, bundle: BundleRef) -> str:
    """Return ``static per-channel``, or nothing for a float model."""
    return "" if quantize == "none" else f"{quantize} {bundle.granularity}"


def find_artifact(bundle: BundleRef, key: ArtifactKey) -> ArtifactRef | None:
    """Return the bundle's description of one of its files."""
    return next((a for a in bundle.artifacts if a.key == key), None)


def name_artifact(key: ArtifactKey) -> str:
    """Return ``int8 .pte``, ``fp16 vulkan .pte`` or ``eager PyTorch fp32``."""
    if key.format == REFERENCE:
        return f"{name_format(key.format)} {key.precision}"
    return " ".join(part for part in (key.precision, key.backend, name_format(key.format)) if part)


def list_parts(bundle: BundleRef, key: ArtifactKey, quantize: str) -> tuple[str, ...]:
    """Return the parts of a file's label, the most distinctive first, for `make_unique`."""
    return name_artifact(key), describe_method(quantize, bundle), bundle.name, bundle.hash[:8]


def make_unique(candidates: Sequence[Sequence[str]]) -> list[str]:
    """Return one label per candidate, adding parts only if labels would be equal.

    Args:
        candidates: per row its parts, the most distinctive first; all rows have
            the same number of parts. A part is left out if it is empty, or equal in all rows
            of the same label.
    """
    labels = [parts[0] for parts in candidates]
    for level in range(1, max((len(parts) for parts in candidates), default=0)):
        labels = _refine(labels, [parts[level] for parts in candidates])
    return labels


def _refine(labels: Sequence[str], parts: Sequence[str]) -> list[str]:
    variants = Counter(label for label, _ in set(zip(labels, parts, strict=True)))
    return [
        f"{label}, {part}" if part and variants[label] > 1 else label
        for label, part in zip(labels, parts, strict=True)
    ]
