"""Golden files, labels and the manifest."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from kit import __version__, bundle, cache
from kit.bundle import ENCODINGS_FILE, REFERENCE
from kit.encodings import format_file
from kit.manifest import Artifact, FailedFormat, Golden, Tensor
from kit.pipeline._work import Work

if TYPE_CHECKING:
    from kit.pipeline._work import Array


def write(
    work: Work,
    inputs: Array,
    reference: Array,
    artifacts: list[Artifact],
    qconfig: dict[str, dict[str, str]],
    failed: tuple[FailedFormat, ...] = (),
) -> None:
    """Complete the bundle's folder.

    Args:
        work: the build.
        inputs: golden pictures [N, 3, H, W].
        reference: the float model's logits for them [N, classes].
        artifacts: one per format, compared.
        qconfig: by format, in words.
        failed: formats that are not in the bundle.
    """
    fields = {
        **_made(work),
        "kit_version": __version__,
        "created": datetime.now(UTC),
        "golden": _golden(work, inputs, reference, [artifact.format for artifact in artifacts]),
        "qconfig": {artifact.format: qconfig[artifact.format] for artifact in artifacts},
        "artifacts": tuple(artifacts),
        "failed": failed,
        "tools": cache.tool_versions(work.recipe),
    }
    bundle.write_manifest(work.folder, fields)


def _golden(work: Work, inputs: Array, reference: Array, made: list[str]) -> Golden:
    """Write the golden pictures and the float model's answers; those of formats are there."""
    import numpy as np

    from kit.images import photos

    np.save(work.folder / "golden" / "input.npy", inputs)
    np.save(work.folder / "golden" / f"{REFERENCE}.npy", reference)
    return Golden(
        input="golden/input.npy",
        images=len(inputs),
        source=photos.SOURCE,
        outputs={name: f"golden/{name}.npy" for name in (REFERENCE, *made)},
        graphs={name: f"golden/{name}.graph.npy" for name in made},
    )


def _made(work: Work) -> dict[str, object]:
    """Return what the steps of the build left, under the manifest's names."""
    side = work.recipe.resolution
    return {
        "recipe": work.recipe,
        "recipe_hash": work.recipe.hash,
        "parameters": work.parameters,
        "input": Tensor(name="image", shape=(1, 3, side, side)),
        "output": Tensor(name="logits", shape=(1, work.classes)),
        "preprocessing": work.preprocessing,
        "labels": _labels(work),
        "weights": work.weights,
        "calibration": work.calibration,
        "corrections": work.corrections,
        "kept_float": work.kept_float,
        "ranges": work.ranges,
        "encodings": _encodings(work),
        "training": work.training,
        "warnings": tuple(work.warnings),
    }


def _encodings(work: Work) -> str | None:
    if work.encodings is None:
        return None
    text = format_file(work.encodings, __version__)
    (work.folder / ENCODINGS_FILE).write_text(text, encoding="utf-8")
    return ENCODINGS_FILE


def _labels(work: Work) -> str | None:
    if work.labels is None:
        return None
    text = "\n".join(work.labels) + "\n"
    (work.folder / "labels.txt").write_text(text, encoding="utf-8")
    return "labels.txt"
