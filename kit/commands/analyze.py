"""`kit analyze`: where int8 hurts a model, and the cheapest repair."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kit.errors import BundleError, RecipeError, UsageError, VerificationFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from kit.analysis.repair import Repair
    from kit.analysis.sensitivity import Study
    from kit.analysis.target import Target
    from kit.pipeline import FloatModel, Unseen
    from kit.recipe import Recipe


@click.command("analyze")
@click.argument("what", metavar="BUNDLE|MODEL")
@click.option("--weights", metavar="imagenet|random|FILE", help="Default: imagenet.")
@click.option("--resolution", type=int, help="Side of the square input in pixels. Default: 224.")
@click.option("--width", type=float, help="Width multiplier. Default: 1.0.")
@click.option(
    "--granularity",
    metavar="per-channel|per-tensor",
    help="One weight scale per output channel, or one per tensor. Default: per-channel.",
)
@click.option(
    "--corrections",
    metavar="best|none|STEP,…",
    help="Steps on the float model before it is quantized. Default: best.",
)
@click.option("--observer", help="What sets the activation ranges. Default: search.")
@click.option(
    "--keep-float", metavar="N|LAYER,…", help="Layers in float, as for kit build. Default: none."
)
@click.option(
    "--calibrate",
    metavar="DIR_OR_ZIP",
    help="Pictures that set the activation ranges. Default: crops of sample photos.",
)
@click.option("--calibration-images", type=int, help="How many of them. Default: 32.")
@click.option("--seed", type=int, help="Of everything drawn at random. Default: 0.")
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="Folder or zip to measure on. Default: what the calibration left over of its set.",
)
@click.option(
    "--speed-up",
    type=float,
    default=None,
    help="How many times as fast int8 is, for the estimates of latency. Default: 2.1.",
)
@click.option("--top", type=int, default=15, help="Rows of the table; 0 for all. Default: 15.")
@click.option(
    "--repair",
    metavar="22dB|97%|1.0",
    help="Search the cheapest recipe with this SQNR, agreement, or drop in points of top-1.",
)
@click.option(
    "--pictures",
    type=int,
    default=256,
    help="A repair is measured on so many pictures at most. Default: 256.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Write an HTML page to this file."
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
def command(
    what: str,
    images: Path | None,
    speed_up: float | None,
    top: int,
    repair: str | None,
    pictures: int,
    output: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Say where int8 hurts BUNDLE or MODEL, and what layers in float would buy.

    Of a bundle, the recipe it was built from is studied; options change it. Everything is
    measured in simulated int8, against the float model, on pictures that did not calibrate.
    """
    from kit.analysis import sensitivity, target
    from kit.commands import _analysis
    from kit.commands._progress import stages
    from kit.pipeline import float_model, unseen

    # torchao's import makes torch tell about a change that is theirs to make.
    logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
    goal = None if repair is None else target.parse(repair)
    factor = sensitivity.SPEED_UP if speed_up is None else speed_up
    _check(factor, top, pictures)
    recipe = _recipe(what, options)
    most = max(sensitivity.PICTURES, pictures) if goal else sensitivity.PICTURES
    with stages() as progress:
        found = float_model(recipe, progress)
        measured = unseen(found, images, most if goal is None else pictures)
        _check_labels(goal, measured)
        case = _case(found, measured, factor)
        progress("corrections")
        folded, kept = found.prepared()
        study = sensitivity.study(
            folded, sensitivity.thinned(case), recipe.observer, kept, _quarters(progress)
        )
        fixed = None if goal is None else _repair(goal, case, found, kept, study, progress)
    line = _line(recipe, fixed)
    about = _about(recipe, found, measured, factor)
    if output is not None:
        from kit.analysis import page

        page.write(output, study, about, fixed, line)
    if as_json:
        record = {**about, **_record(study)}
        record["repair"] = fixed and _analysis.repair_record(fixed, str(repair), line)
        click.echo(json.dumps(record))
    else:
        _show(recipe, study, fixed, top, measured, factor)
    _verdict(goal, fixed, line, as_json)


def _check(speed_up: float, top: int, pictures: int) -> None:
    if not 0 < speed_up <= 100:
        raise UsageError(f"speed-up = {speed_up:g} is out of range", "use for example 2.1")
    if top < 0:
        raise UsageError(f"top = {top} is no number of rows", "use 0 for all rows")
    if pictures < 1:
        raise UsageError(f"pictures = {pictures} leaves no picture", "use 1 or more")


def _recipe(what: str, options: dict[str, Any]) -> Recipe:
    """Return the recipe of a bundle, or of a model's name, with the options on top."""
    from kit import bundle, recipe

    fields = {name: value for name, value in options.items() if value is not None}
    if "keep_float" in fields:
        names = fields["keep_float"].split(",")
        fields["keep_float"] = tuple(name.strip() for name in names if name.strip())
    if not Path(what).is_dir():
        return recipe.make(what, **fields)
    built = bundle.load(what).manifest.recipe
    made = recipe.make(**{**built.model_dump(), **fields})
    for name, value in (("weights", made.weights), ("calibrate", made.calibrate)):
        named = name == "weights" and value in ("imagenet", "random")
        if value is not None and not named and not Path(value).exists():
            raise BundleError(
                f"{what} was built with the {'pictures' if name == 'calibrate' else name} "
                f"{value}, which is no longer there",
                f"name where it is now with --{name}",
            )
    return made


def _check_labels(goal: Target | None, measured: Unseen) -> None:
    if goal is not None and goal.measure == "drop" and measured.labels is None:
        raise RecipeError(
            f"{measured.source} has no labels, so there is no top-1 to drop",
            "ask for an agreement (97%) or an SQNR (20dB), or give labelled pictures with --images",
        )


def _case(found: FloatModel, measured: Unseen, speed_up: float) -> Any:
    import numpy as np
    import torch

    from kit.analysis.case import Case

    work = found.work
    return Case(
        calibration=torch.from_numpy(found.calibration),
        pictures=torch.from_numpy(measured.inputs),
        reference=found.logits(measured.inputs),
        granularity=work.recipe.granularity,
        output_margin=work.pictures.output_margin,
        speed_up=speed_up,
        labels=None if measured.labels is None else np.array(measured.labels),
    )


def _quarters(progress: Callable[[str], None]) -> Callable[[float], None]:
    """Tell the share that is done four times."""
    told = [0]

    def step(done: float) -> None:
        if int(4 * done) > told[0]:
            told[0] = int(4 * done)
            progress(f"quantizing one layer at a time: {25 * told[0]} %")

    return step


def _repair(
    goal: Target,
    case: Any,
    found: FloatModel,
    kept: tuple[str, ...],
    study: Study,
    progress: Callable[[str], None],
) -> Repair:
    from kit.analysis.repair import Choice, Search
    from kit.commands._analysis import attempt_line

    progress(f"looking for {goal}")
    costs = {record.name: record.latency for record in study.records if record.layer}
    search = Search(
        goal,
        case,
        lambda corrections, names: found.prepared(corrections, names)[0],
        costs,
        lambda attempt: progress(attempt_line(attempt)),
    )
    recipe = found.work.recipe
    return search.run(Choice(recipe.corrections, recipe.observer, kept))


def _line(recipe: Recipe, fixed: Repair | None) -> str:
    """Return the `kit build` line of a repair, or of the recipe as it is."""
    from kit import family
    from kit.commands._build_line import build_line

    changes: dict[str, Any] = {}
    if not family.load("quantize", recipe.quantize).INFO.calibrates:
        changes["quantize"] = "static"
    if fixed is not None:
        choice = fixed.best.choice
        changes |= {"corrections": choice.corrections, "observer": choice.observer}
        changes["keep_float"] = choice.kept
    return build_line(recipe.model_copy(update=changes))


def _about(recipe: Recipe, found: FloatModel, measured: Unseen, speed_up: float) -> dict[str, Any]:
    return {
        "model": recipe.model,
        "resolution": recipe.resolution,
        "width": recipe.width,
        "granularity": recipe.granularity,
        "corrections": recipe.corrections,
        "observer": recipe.observer,
        "weights": found.work.weights.source,
        "calibration": {"source": found.work.pictures.source, "images": len(found.calibration)},
        "pictures": {"source": measured.source, "images": len(measured.inputs)},
        "speed_up": speed_up,
    }


def _record(study: Study) -> dict[str, Any]:
    return {
        "int8": study.whole.record(),
        "corrected_float": study.corrected.record(),
        "layers": [record.record() for record in study.records],
    }


def _show(
    recipe: Recipe,
    study: Study,
    fixed: Repair | None,
    top: int,
    measured: Unseen,
    speed_up: float,
) -> None:
    from kit.commands import _analysis

    title = f"{recipe.model}, {recipe.resolution} px, {recipe.granularity}: what int8 costs"
    _analysis.show_study(study, title, top)
    if fixed is not None:
        _analysis.show_repair(fixed)
    click.echo(
        f"whole int8 model: {_analysis.sentence(study.whole)} of {measured.source}", err=True
    )
    click.echo(f"corrected, still float: {_analysis.sentence(study.corrected)}", err=True)
    click.echo(
        "simulated; latency is an estimate: multiply-adds of the layer, in float "
        f"{speed_up:g} times as slow (--speed-up), conversions not counted",
        err=True,
    )
    if recipe.quantize not in ("static", "none"):
        click.echo(f"studied as static: what {recipe.quantize} adds is not in it", err=True)


def _verdict(goal: Target | None, fixed: Repair | None, line: str, quiet: bool) -> None:
    """Print the line that repairs, or fail with the best that was found."""
    from kit.commands._analysis import sentence

    if goal is None or fixed is None:
        return
    if not fixed.met:
        raise VerificationFailed(
            f"nothing that was tried reaches {goal}; the best: {sentence(fixed.best.score)}",
            f"the best is {line}",
        )
    if not quiet:
        click.echo(f"reaches {goal}: expect {sentence(fixed.best.score)}", err=True)
        click.echo(line)
