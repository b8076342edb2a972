"""The accuracy gate: remove formats whose accuracy is below the limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from kit import accuracy, bundle
from kit.bundle import Bundle
from kit.calibration import CalibrationSet
from kit.errors import RecipeError, VerificationFailed
from kit.manifest import FailedArtifact, GateRecord, GateRow
from kit.notices import new_notice
from kit.pipeline import training_set
from kit.pipeline.build_state import shares
from kit.progress import ReportStatus
from kit.recipe import Recipe
from kit.results.schema import AccuracyRow
from kit.tasks import get_task
from kit.tasks.interface import EvaluationContext, EvaluationSet

PICTURES = 512  # evenly spread over a larger set


@dataclass(frozen=True)
class Gate:
    """Accuracy limits of every format, measured with its own runtime.

    Attributes:
        max_drop: maximum loss of top-1 against the float model, in percentage points.
        min_agreement: minimum share of pictures with the float model's answer, in percent.
        images: folder or zip; None takes the rest of the calibration's folder.
    """

    max_drop: float | None = None
    min_agreement: float | None = None
    images: str | Path | None = None


def images(gate: Gate, recipe: Recipe) -> Path:
    """Return the folder or zip to measure on.

    Raises:
        RecipeError: there are none, or a limit is out of range.
    """
    if "agreement" not in get_task(recipe.task).threshold_names:
        raise RecipeError(
            f"the task {recipe.task} has no classes, so there is no accuracy to keep",
            "leave out --max-drop and --min-agreement",
        )
    if gate.max_drop is None and gate.min_agreement is None:
        raise RecipeError("an accuracy gate without a limit", "give --max-drop or --min-agreement")
    for name, value in (("max-drop", gate.max_drop), ("min-agreement", gate.min_agreement)):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (number and 0 <= value <= 100):
            raise RecipeError(f"{name} = {value!r} is not 0 to 100 percent", f"use --{name} 1.0")
    if not isinstance(gate.images, str | Path | None):
        raise RecipeError(
            f"gate-images = {gate.images!r} is no folder or zip", "use --gate-images DIR_OR_ZIP"
        )
    chosen = gate.images or recipe.calibrate
    if chosen is None:
        raise RecipeError(
            "an accuracy gate needs pictures",
            "give --gate-images DIR_OR_ZIP, or --calibrate with more pictures than calibrate",
        )
    return Path(chosen)


def pictures(
    gate: Gate | None, recipe: Recipe, calibration: CalibrationSet
) -> EvaluationSet | None:
    """Return the pictures to measure on, before anything is built; None without a gate.

    Labels are only used with `max_drop`.

    Args:
        gate: the limits.
        recipe: of the build.
        calibration: the calibration pictures, which are excluded.

    Raises:
        RecipeError: there are none, they have no labels for a drop, or a limit is out of range.
        PictureError: the set or a label cannot be used.
    """
    if gate is None:
        return None
    path = images(gate, recipe)
    seen = frozenset((*calibration.digests, *training_set.digests(recipe)))
    task = get_task(recipe.task)
    context = EvaluationContext(task.describe_inputs(recipe), seen, gate.max_drop is not None)
    chosen = task.open_evaluation(context, path, None, PICTURES)
    if gate.max_drop is not None and not chosen.labelled:
        raise RecipeError(
            f"{path} has no labels, so there is no top-1 to drop",
            "use --min-agreement, or name the folders by class",
        )
    return chosen


def enforce_gate(
    gate: Gate, chosen: EvaluationSet, folder: Path, progress: ReportStatus, all_or_nothing: bool
) -> None:
    """Measure a finished bundle, remove formats that fail the gate, and record the others.

    Args:
        gate: the limits.
        chosen: pictures to measure on.
        folder: of the bundle.
        progress: called with the name of the stage.
        all_or_nothing: raise an error if one format fails.

    Raises:
        VerificationFailed: every format fails, or one does and `all_or_nothing` is set; the
            message has every format's numbers.
        PictureError: a picture cannot be used.
    """
    stage = f"measuring accuracy for the gate on {len(chosen)} pictures"
    progress(stage)
    built = bundle.load(folder)
    step = shares(progress, stage)
    result = accuracy.measure(
        built, built.manifest.select_runnable(None), chosen, lambda done, of: step(done / of)
    )
    float_top1 = result.rows[0].top1
    rows = tuple(_row(row, float_top1) for row in result.rows[1:])
    broken = {row.name: words for row in rows if (words := _broken(gate, row))}
    hint = "`kit analyze` says which layers cost most and --repair what helps"
    if broken and (all_or_nothing or len(broken) == len(rows)):
        raise VerificationFailed(
            f"the accuracy gate is not passed on {result.rows[0].images} pictures:\n  "
            + "\n  ".join(line for lines in broken.values() for line in lines),
            hint,
            [{"name": row.name, **row.model_dump(mode="json")} for row in rows],
        )
    record = GateRecord(
        pictures=result.pictures,
        pictures_sha256=result.pictures_sha256,
        images=result.rows[0].images,
        max_drop=gate.max_drop,
        min_agreement=gate.min_agreement,
        rows=tuple(row for row in rows if row.name not in broken),
    )
    failed = tuple(
        FailedArtifact.of(
            built.manifest.artifact(name).key, stage="gate", reason="; ".join(lines), hint=hint
        )
        for name, lines in broken.items()
    )
    fields = _without(built, set(broken))
    fields["failed"] = (*built.manifest.failed, *failed)
    if unmeasured := tuple(a.name for a in built.manifest.artifacts if not a.executed):
        fields["notices"] = (
            *built.manifest.notices,
            new_notice("gate.not-run", files=unmeasured),
        )
    bundle.write_manifest(folder, {**fields, "gate": record})


def _without(built: Bundle, names: set[str]) -> dict[str, object]:
    """Remove the files of formats, and return the manifest's fields without them."""
    manifest = built.manifest
    golden = manifest.golden
    for name in names:
        for file in (
            manifest.artifact(name).file,
            *golden.outputs[name],
            *golden.graphs.get(name, ()),
        ):
            (built.path / file).unlink()

    def kept(entries: Mapping[str, object]) -> dict[str, object]:
        return {name: entry for name, entry in entries.items() if name not in names}

    changes = {"outputs": kept(golden.outputs), "graphs": kept(golden.graphs)}
    return {
        **manifest.model_dump(exclude={"files", "gate"}),
        "artifacts": tuple(a for a in manifest.artifacts if a.name not in names),
        "golden": golden.model_copy(update=changes),
        "qconfig": kept(manifest.qconfig),
    }


def _row(row: AccuracyRow, float_top1: float | None) -> GateRow:
    drop = None
    if row.top1 is not None and float_top1 is not None:
        drop = 100 * (float_top1 - row.top1)
    assert row.agreement is not None  # `images` refuses tasks without classes
    return GateRow(**asdict(row.key), drop=drop, agreement=100 * row.agreement, sqnr_db=row.sqnr_db)


def _broken(gate: Gate, row: GateRow) -> list[str]:
    sentences = []
    if gate.max_drop is not None and row.drop is not None and row.drop > gate.max_drop:
        sentences.append(f"{row.name} loses {row.drop:.2f} points, the limit is {gate.max_drop:g}")
    if gate.min_agreement is not None and row.agreement < gate.min_agreement:
        sentences.append(
            f"{row.name} agrees on {row.agreement:.1f} %, the limit is {gate.min_agreement:g} %"
        )
    return sentences
