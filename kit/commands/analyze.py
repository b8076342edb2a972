"""`kit analyze`: where int8 hurts a model, and the cheapest repair."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kit import terminal
from kit.commands.common import recipe_options
from kit.commands.common.option_types import OUTPUT_TEXT_PATH, PATH, Finite, Given
from kit.errors import UsageError, VerificationFailed

if TYPE_CHECKING:
    from kit.analysis.repair import Repair
    from kit.analysis.sensitivity import Study
    from kit.commands.common.study import Found
    from kit.recipe import Recipe


@click.command("analyze")
@click.argument("what", metavar="BUNDLE|MODEL")
@recipe_options.MODEL
@recipe_options.QUANTIZATION
@recipe_options.CALIBRATION
@recipe_options.SEED
@click.option(
    "--images",
    type=PATH,
    help="Folder or zip to measure on. Default: what the calibration left over of its set.",
)
@click.option(
    "--speed-up",
    type=Finite(),
    help="Speed-up by int8, for the estimates of latency. Default: 2.1.",
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
    help="Maximum number of pictures that a repair is measured on. Default: 256.",
)
@click.option(
    "-o",
    "--output",
    type=OUTPUT_TEXT_PATH,
    metavar="FILE",
    help="Write an HTML page: a file, or a folder, where it is NAME-analysis.html.",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
def command(
    what: str,
    images: Path | None,
    speed_up: float | None,
    top: int,
    repair: str | None,
    pictures: int,
    output: str | None,
    as_json: bool,
    **options: Given,
) -> None:
    """Show where int8 hurts BUNDLE or MODEL, and what layers in float would gain.

    Of a bundle, the recipe it was built from is studied, with the layers that it keeps in float;
    options change it. Everything is measured in simulated int8, against the float model, on
    pictures that did not calibrate.
    """
    from kit.analysis import sensitivity, target
    from kit.commands.common import output_checks, study
    from kit.commands.common.progress_display import show_stages
    from kit.guard import keep_stdout

    goal = None if repair is None else target.parse(repair)
    factor = sensitivity.SPEED_UP if speed_up is None else speed_up
    _check(factor, top, pictures)
    file = output_checks.choose_file(output, what, "analysis", ".html")
    recipe = study.resolve_recipe(what, options)
    with show_stages() as progress, keep_stdout():
        outcome = study.run(study.StudyRequest(recipe, images, factor, goal, pictures), progress)
    line = build_command_line(recipe, outcome.repair)
    terminal.print_json(_json(outcome, repair, line)) if as_json else _show(outcome, top)
    if file is not None:
        from kit.analysis import page

        page.write(file, outcome.study, _about(outcome), outcome.repair, line)
    _verdict(outcome, line, as_json)


def _check(speed_up: float, top: int, pictures: int) -> None:
    if not 0 < speed_up <= 100:
        raise UsageError(f"speed-up = {speed_up:g} is out of range", "use for example 2.1")
    if top < 0:
        raise UsageError(f"top = {top} is no number of rows", "use 0 for all rows")
    if pictures < 1:
        raise UsageError(f"pictures = {pictures} leaves no picture", "use 1 or more")


def build_command_line(recipe: Recipe, fixed: Repair | None) -> str:
    """Return the `kit build` command of a repair, or of the unchanged recipe."""
    from kit.algorithms import get_algorithm
    from kit.commands.common.build_line import format_build_line
    from kit.recipe import AUTO

    changes: dict[str, object] = {}
    if not get_algorithm(recipe.quantize).calibrates:
        changes["quantize"] = "static"
    if fixed is not None:
        choice = fixed.best.choice
        changes |= {"corrections": choice.corrections, "observer": choice.observer}
        changes["keep_float"] = choice.kept
    elif not recipe.keep_float:
        changes["keep_float"] = (AUTO,)
    return format_build_line(recipe.model_copy(update=changes))


def _json(outcome: Found, target: str | None, line: str) -> dict[str, object]:
    from kit.commands.common import analysis_output

    record = {**_about(outcome), **_record(outcome.study)}
    fixed = outcome.repair
    record["repair"] = fixed and analysis_output.repair_record(fixed, str(target), line)
    return record


def _about(outcome: Found) -> dict[str, object]:
    recipe, work = outcome.request.recipe, outcome.model.work
    pictures, weights = outcome.pictures, work.weights
    assert weights is not None  # of a model that is loaded
    return {
        "model": recipe.model,
        "resolution": recipe.resolution,
        "input_width": recipe.input_width,
        "width": recipe.width,
        "granularity": recipe.granularity,
        "corrections": recipe.corrections,
        "observer": recipe.observer,
        "weights": weights.source,
        "calibration": {"source": work.pictures.source, "images": len(outcome.model.calibration)},
        "pictures": {"source": pictures.source, "images": len(pictures.inputs)},
        "speed_up": outcome.request.speed_up,
    }


def _record(study: Study) -> dict[str, object]:
    return {
        "int8": study.whole.record(),
        "corrected_float": study.corrected.record(),
        "layers": [record.record() for record in study.records],
    }


def _show(outcome: Found, top: int) -> None:
    from kit.commands.common import analysis_output
    from kit.recipe import format_sides

    recipe, study = outcome.request.recipe, outcome.study
    size = format_sides(*recipe.sides)
    title = f"{recipe.model}, {size} px, {recipe.granularity}: what int8 costs"
    analysis_output.show_study(study, title, top)
    if outcome.repair is not None:
        analysis_output.show_repair(outcome.repair)
    source = outcome.pictures.source
    terminal.print_note(
        f"whole int8 model: {analysis_output.describe_score(study.whole)} of {source}"
    )
    terminal.print_note(
        f"corrected, still float: {analysis_output.describe_score(study.corrected)}"
    )
    terminal.print_note(
        "simulated; latency is an estimate: multiply-adds of the layer, in float "
        f"{outcome.request.speed_up:g} times as slow (--speed-up), conversions not counted"
    )
    if recipe.quantize not in ("static", "none"):
        terminal.print_note(f"studied as static: what {recipe.quantize} adds is not in it")


def _verdict(outcome: Found, line: str, quiet: bool) -> None:
    """Print the command of the repair, or fail with the best attempt."""
    from kit.commands.common.analysis_output import describe_score

    goal, fixed = outcome.request.goal, outcome.repair
    if goal is None or fixed is None:
        return
    if not fixed.met:
        raise VerificationFailed(
            f"nothing that was tried reaches {goal}; the best: {describe_score(fixed.best.score)}",
            f"the best is {line}",
        )
    if not quiet:
        terminal.print_note(f"reaches {goal}: expect {describe_score(fixed.best.score)}")
        terminal.echo(line)
