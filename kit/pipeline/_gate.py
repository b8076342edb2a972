"""The accuracy gate: a build that loses too much is an error, not a bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kit import accuracy, bundle
from kit.accuracy import Audience, Chosen
from kit.calibration import Pictures
from kit.errors import RecipeError, VerificationFailed
from kit.manifest import GateRecord, GateRow
from kit.pipeline import _inputs, _train_set
from kit.pipeline._work import Progress
from kit.recipe import Recipe
from kit.results.schema import AccuracyRow

PICTURES = 512  # evenly spread over a larger set


@dataclass(frozen=True)
class Gate:
    """Least accuracy of every format, measured by its own runtime.

    Attributes:
        max_drop: points of top-1, in percent, that a format may lose against the float model.
        min_agreement: least share of pictures with the float model's answer, in percent.
        images: folder or zip; None takes what the calibration left over of its set.
    """

    max_drop: float | None = None
    min_agreement: float | None = None
    images: str | Path | None = None


def images(gate: Gate | None, recipe: Recipe) -> Path:
    """Return the folder or zip to measure on.

    Raises:
        RecipeError: there are none, or a limit is out of range.
    """
    if gate is None:
        return Path()
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


def pictures(gate: Gate | None, recipe: Recipe, calibration: Pictures) -> Chosen | None:
    """Return the pictures to measure on, before anything is built; None without a gate.

    Labels count only where a drop is asked for.

    Args:
        gate: what has to be kept.
        recipe: what will be built.
        calibration: the pictures that will calibrate it, which are left out.

    Raises:
        RecipeError: there are none, they have no labels for a drop, or a limit is out of range.
        PictureError: the set or a label cannot be used.
    """
    if gate is None:
        return None
    path = images(gate, recipe)
    seen = frozenset((*calibration.digests, *_train_set.digests(recipe)))
    audience = Audience(None, (), seen)
    if gate.max_drop is not None:
        inputs = _inputs.of(recipe)
        audience = Audience(inputs.classes, inputs.labels or (), seen)
    chosen = accuracy.choose(path, None, audience, PICTURES)
    if gate.max_drop is not None and not chosen.labelled:
        raise RecipeError(
            f"{path} has no labels, so there is no top-1 to drop",
            "use --min-agreement, or name the folders by class",
        )
    return chosen


def hold(gate: Gate, chosen: Chosen, folder: Path, progress: Progress) -> None:
    """Measure a finished bundle, and write what was found into its manifest.

    Raises:
        VerificationFailed: a format loses too much; every format's numbers are shown.
        PictureError: a picture cannot be used.
    """
    progress(f"measuring accuracy for the gate on {len(chosen.pictures)} pictures")
    made = bundle.load(folder)
    result = accuracy.measure(made, made.manifest.recipe.formats, chosen)
    float_top1 = result.rows[0].top1
    rows = tuple(_row(row, float_top1) for row in result.rows[1:])
    broken = [words for row in rows for words in _broken(gate, row)]
    if broken:
        raise VerificationFailed(
            f"the accuracy gate is not passed on {result.rows[0].images} pictures:\n  "
            + "\n  ".join(broken),
            "`kit analyze` says which layers cost most and --repair what helps",
        )
    record = GateRecord(
        pictures=result.pictures,
        pictures_sha256=result.pictures_sha256,
        images=result.rows[0].images,
        max_drop=gate.max_drop,
        min_agreement=gate.min_agreement,
        rows=rows,
    )
    fields = made.manifest.model_dump(exclude={"files", "gate"})
    bundle.write_manifest(folder, {**fields, "gate": record})


def _row(row: AccuracyRow, float_top1: float | None) -> GateRow:
    drop = None
    if row.top1 is not None and float_top1 is not None:
        drop = 100 * (float_top1 - row.top1)
    return GateRow(format=row.format, drop=drop, agreement=100 * row.agreement, sqnr_db=row.sqnr_db)


def _broken(gate: Gate, row: GateRow) -> list[str]:
    found = []
    if gate.max_drop is not None and row.drop is not None and row.drop > gate.max_drop:
        found.append(f"{row.format} loses {row.drop:.2f} points, the limit is {gate.max_drop:g}")
    if gate.min_agreement is not None and row.agreement < gate.min_agreement:
        found.append(
            f"{row.format} agrees on {row.agreement:.1f} %, the limit is {gate.min_agreement:g} %"
        )
    return found
