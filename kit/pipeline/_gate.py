"""The accuracy gate: remove formats whose accuracy is below the limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from kit import accuracy
from kit.bundles import loading, writing
from kit.bundles.bundle import Bundle
from kit.calibration import CalibrationSet
from kit.errors import RecipeError, VerificationFailed, format_count
from kit.manifest.artifacts import FailedArtifact
from kit.manifest.build_records import GateRecord, GateRow
from kit.notices import make_notice
from kit.pipeline import training_set
from kit.pipeline.build_state import make_reporter
from kit.progress import ReportStatus
from kit.recipe import Recipe
from kit.results.accuracy import AccuracyRow
from kit.tasks import get_task
from kit.tasks.evaluation import EvaluationContext, EvaluationSet

SAMPLES = 512  # evenly spread over a larger set
# Of percentages, which are quotients of counts: 100 * (7/100) - 100 * (6/100) exceeds 1.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Gate:
    """Accuracy limits of every format, measured with its own runtime.

    Attributes:
        max_drop: maximum loss of top-1, or of the task's own metric, against the float model, in
            percentage points.
        min_agreement: minimum share of answers that are the float model's, in percent.
        images: folder, zip or file of samples; None takes the rest of the calibration's.
    """

    max_drop: float | None = None
    min_agreement: float | None = None
    images: str | Path | None = None

    def explain_failure(self, row: GateRow) -> list[str]:
        """Return a sentence for each limit that a file exceeds."""
        sentences = []
        drop, max_drop = row.drop, self.max_drop
        if max_drop is not None and drop is not None and drop > max_drop + _ROUNDING:
            sentences.append(f"{row.name} loses {drop:.2f} points, the limit is {max_drop:g}")
        minimum = self.min_agreement
        if minimum is not None and row.agreement < minimum - _ROUNDING:
            sentences.append(
                f"{row.name} agrees on {row.agreement:.1f} %, the limit is {minimum:g} %"
            )
        return sentences


def choose_images(gate: Gate, recipe: Recipe) -> Path:
    """Return the folder, zip or file to measure on.

    Raises:
        RecipeError: there are none, or a limit is out of range.
    """
    task = get_task(recipe.task)
    if not task.measures_agreement:
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
            f"an accuracy gate needs {task.sample}s",
            f"give --gate-images, or --calibrate with more {task.sample}s than calibrate",
        )
    return Path(chosen)


def open_pictures(
    gate: Gate | None, recipe: Recipe, calibration: CalibrationSet
) -> EvaluationSet | None:
    """Return the samples to measure on, before anything is built; None without a gate.

    Labels are only used with `max_drop`.

    Args:
        gate: the limits.
        recipe: of the build.
        calibration: the calibration set, which is excluded.

    Raises:
        RecipeError: there are none, they have no labels for a drop, or a limit is out of range.
        SampleError: the set or a label cannot be used.
    """
    if gate is None:
        return None
    path = choose_images(gate, recipe)
    seen = frozenset((*calibration.digests, *training_set.hash_each(recipe)))
    task = get_task(recipe.task)
    context = EvaluationContext(task.describe_inputs(recipe), seen, gate.max_drop is not None)
    chosen = task.open_evaluation(context, path, None, SAMPLES)
    if gate.max_drop is not None and not chosen.labelled:
        raise RecipeError(
            f"{path} has no labels, so there is no {task.drop_metric or 'top-1'} to drop",
            "use --min-agreement" + (f", or {task.label_place}" if task.label_place else ""),
        )
    return chosen


def enforce_gate(
    gate: Gate, chosen: EvaluationSet, folder: Path, progress: ReportStatus, all_or_nothing: bool
) -> None:
    """Measure a finished bundle, remove formats that fail the gate, and record the others.

    Args:
        gate: the limits.
        chosen: samples to measure on.
        folder: of the bundle.
        progress: called with the name of the stage.
        all_or_nothing: raise an error if one format fails.

    Raises:
        VerificationFailed: every format fails, or one does and `all_or_nothing` is set; the
            message has every format's numbers.
        SampleError: a sample cannot be used.
    """
    built = loading.load_bundle(folder)
    task = get_task(built.manifest.task)
    stage = f"measuring accuracy for the gate on {format_count(len(chosen), task.sample)}"
    progress(stage)
    step = make_reporter(progress, stage)
    result = accuracy.measure(
        built, built.manifest.select_runnable(None), chosen, lambda done, of: step(done / of)
    )
    float_score = _read_score(result.rows[0], task.drop_metric)
    rows = tuple(_row(row, task.drop_metric, float_score) for row in result.rows[1:])
    if gate.min_agreement is not None and any(row.agreement is None for row in result.rows[1:]):
        raise VerificationFailed(
            f"the float model finds nothing in {format_count(len(chosen), task.sample)} of "
            f"{result.pictures}, so there is no agreement to keep",
            f"use other {task.sample}s with --gate-images, or --max-drop",
        )
    broken = {row.name: words for row in rows if (words := gate.explain_failure(row))}
    hint = "try another --precision or --quantize, or give other limits"
    if task.analyzable:
        hint = "`kit analyze` says which layers cost most and --repair what helps"
    if broken and (all_or_nothing or len(broken) == len(rows)):
        raise VerificationFailed(
            "the accuracy gate is not passed on "
            f"{format_count(result.rows[0].images, task.sample)}:\n  "
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
            make_notice("gate.not-run", files=unmeasured),
        )
    writing.write_manifest(folder, {**fields, "gate": record})


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


def _read_score(row: AccuracyRow, metric: str) -> float | None:
    """Return what a drop is of, in percent: a metric, or top-1; None without labels."""
    if not metric:
        return None if row.top1 is None else 100 * row.top1
    return next((one.value for one in row.metrics if one.name == metric), None)


def _row(row: AccuracyRow, metric: str, float_score: float | None) -> GateRow:
    score, drop = _read_score(row, metric), None
    if score is not None and float_score is not None:
        drop = float_score - score
    agreement = 1.0 if row.agreement is None else row.agreement  # of two that find nothing
    return GateRow(**asdict(row.key), drop=drop, agreement=100 * agreement, sqnr_db=row.sqnr_db)
