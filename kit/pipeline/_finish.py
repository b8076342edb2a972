"""Write a bundle's files: models, golden arrays, labels and the manifest."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from kit import __version__, cache
from kit.artifact_key import REFERENCE
from kit.bundles import writing
from kit.bundles.bundle import ENCODINGS_FILE, REFERENCE_FILE
from kit.detection import Detection
from kit.encodings import format_file
from kit.files import untrusted
from kit.lowering_job import Lowered
from kit.manifest.artifacts import Artifact, FailedArtifact
from kit.manifest.preprocessing import Tokenization
from kit.manifest.schema import Golden
from kit.pipeline.build_state import Work
from kit.signature import Samples, Signature, TensorSpec
from kit.tasks.interface import GoldenSet


def write(
    work: Work,
    golden: GoldenSet,
    lowered: Sequence[Lowered],
    artifacts: Sequence[Artifact],
) -> tuple[FailedArtifact, ...]:
    """Complete the bundle's folder.

    Args:
        work: the build.
        golden: inputs and the float model's answers.
        lowered: by the children.
        artifacts: those of them that are right, with their comparisons.

    Returns:
        The files that are missing in the bundle.
    """
    for file in (REFERENCE_FILE, *(artifact.file for artifact in artifacts)):
        # torch's own writers report a full disk as an internal error; copying reports it as such
        untrusted.copy_contents(work.shared / file, work.folder / file)
    qconfig = {one.artifact.name: one.qconfig for one in lowered}
    failed = tuple(failure.record() for failure in work.list_failures())
    fields = {
        **_describe(work),
        "kit_version": __version__,
        "created": _now(),
        "signature": _sign(work, golden.inputs.specs, golden.answers.specs),
        "golden": _golden(work, golden, [artifact.name for artifact in artifacts]),
        "qconfig": {artifact.name: qconfig[artifact.name] for artifact in artifacts},
        "artifacts": tuple(artifacts),
        "failed": failed,
        "tools": cache.read_tool_versions(work.recipe),
    }
    writing.write_manifest(work.folder, fields)
    return failed


def _now() -> datetime:
    """Return the time, or that of ``SOURCE_DATE_EPOCH``, so that a build can be repeated exactly.

    https://reproducible-builds.org/specs/source-date-epoch/
    """
    fixed = os.environ.get("SOURCE_DATE_EPOCH", "")
    if fixed.isdecimal() and len(fixed) < 12:  # digits; more are no date of this millennium
        return datetime.fromtimestamp(int(fixed), UTC)
    return datetime.now(UTC)


def _golden(work: Work, golden: GoldenSet, names: list[str]) -> Golden:
    """Write the golden inputs and the float model's answers; other answers are written."""
    inputs = save_golden(work.folder, "input", golden.inputs)
    save_golden(work.folder, REFERENCE, golden.answers)
    count = len(golden.answers.specs)
    return Golden(
        inputs=inputs,
        images=len(golden.inputs),
        source=golden.source,
        outputs={name: name_files(name, count) for name in (REFERENCE, *names)},
        graphs={name: name_files(f"{name}.graph", count) for name in names},
    )


def name_files(name: str, count: int) -> tuple[str, ...]:
    """Return the paths of golden arrays in a bundle, one per tensor."""
    return tuple(f"golden/{name}{f'.{i}' if i else ''}.npy" for i in range(count))


def save_golden(folder: Path, name: str, samples: Samples) -> tuple[str, ...]:
    """Write golden arrays into a bundle's folder and return their paths in it."""
    import numpy as np

    names = name_files(name, len(samples.arrays))
    (folder / "golden").mkdir(exist_ok=True)
    for file, array in zip(names, samples.arrays, strict=True):
        np.save(folder / file, array)
    return names


def _sign(work: Work, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Signature:
    return Signature(inputs=inputs, outputs=outputs, varying=work.recipe.varying)


def _describe(work: Work) -> dict[str, object]:
    """Return the results of the build's steps, under the manifest's names."""
    return {
        "recipe": work.recipe,
        "recipe_hash": work.recipe.hash,
        "parameters": work.parameters,
        "task": work.task.name,
        "preprocessing": work.inputs.preprocessing,
        "tokenization": _tokenization(work),
        "detection": _detection(work),
        "state": {
            work.inputs.specs[taker].name: work.inputs.outputs[giver]
            for taker, giver in work.inputs.feedback
        },
        "labels": _labels(work),
        "scores": work.scores,
        "weights": work.weights,
        "calibration": work.calibration,
        "corrections": work.corrections,
        "kept_float": work.kept_float,
        "ranges": work.ranges,
        "encodings": _encodings(work),
        "training": work.training,
        "notices": tuple(work.notices),
    }


def _encodings(work: Work) -> str | None:
    if work.encodings is None:
        return None
    text = format_file(work.encodings, __version__)
    (work.folder / ENCODINGS_FILE).write_text(text, encoding="utf-8")
    return ENCODINGS_FILE


def _tokenization(work: Work) -> Tokenization | None:
    if work.inputs.text is None:
        return None
    record = work.inputs.text.tokenization
    (work.folder / record.file).write_bytes(work.inputs.text.tokenizer)
    return record


def _detection(work: Work) -> Detection | None:
    import numpy as np

    detector = work.inputs.detection
    if detector is None:
        return None
    if detector.record.anchors is not None and detector.anchors is not None:
        np.save(work.folder / detector.record.anchors, detector.anchors, allow_pickle=False)
    return detector.record


def _labels(work: Work) -> str | None:
    if work.inputs.labels is None:
        return None
    text = "\n".join(work.inputs.labels) + "\n"
    (work.folder / "labels.txt").write_text(text, encoding="utf-8")
    return "labels.txt"
