"""`kit build`: from weights to a verified bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kit.commands import _recipe_options
from kit.commands._numbers import Finite
from kit.errors import RecipeError

if TYPE_CHECKING:
    from kit.bundle import Bundle
    from kit.pipeline import Gate
    from kit.recipe import Recipe


@click.command("build")
@click.argument("model", required=False)
@_recipe_options.MODEL
@click.option(
    "--quantize",
    metavar="none|dynamic|static|qat",
    help="Quantization method. Default: static.",
)
@_recipe_options.QUANTIZATION
@click.option(
    "--format",
    "formats",
    metavar="F,…",
    help="Comma-separated formats. Default: lite,executorch,onnx.",
)
@_recipe_options.CALIBRATION
@click.option(
    "--train",
    metavar="DIR_OR_ZIP",
    help="Pictures for qat, with or without labels. Default: those that calibrate.",
)
@click.option("--train-steps", type=int, help="Optimizer steps of qat. Default: 40.")
@click.option("--train-batch", type=int, help="Pictures per step of qat. Default: 16.")
@click.option("--learning-rate", type=Finite(), help="Highest learning rate of qat. Default: 1e-5.")
@click.option(
    "--max-drop", type=Finite(), metavar="POINTS", help="Fail if a format loses more top-1."
)
@click.option(
    "--min-agreement",
    type=Finite(),
    metavar="PERCENT",
    help="Fail if a format gives the float model's answer less often.",
)
@click.option(
    "--gate-images",
    metavar="DIR_OR_ZIP",
    help="Pictures for these two limits. Default: what the calibration left over.",
)
@_recipe_options.SEED
@click.option(
    "--recipe",
    "recipe_file",
    type=click.Path(path_type=Path),
    help="TOML file with these options; the command line wins.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Folder of the bundle. Default: out/ and a name made of the recipe.",
)
@click.option("--no-cache", is_flag=True, help="Build again even if nothing changed.")
@click.option("--explain", is_flag=True, help="Say what would be done, and build nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print bundle.json instead of a table.")
def command(
    recipe_file: Path | None,
    output: Path | None,
    no_cache: bool,
    explain: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Build, quantize, lower and verify MODEL; write a bundle.

    MODEL is a name that `kit list` shows, or FILE.py:FACTORY for a model of your own, whose
    file is then run. Progress goes to stderr; the table, or with --json the content of
    bundle.json, goes to stdout.
    """
    made, gate = _asked(recipe_file, options)
    if explain:
        _explain(made, gate)
        return
    found = _build(made, output or Path("out") / made.slug, not no_cache, gate)
    if found is not None:
        click.echo(found.manifest.model_dump_json(indent=1)) if as_json else _show(found)


def _asked(recipe_file: Path | None, options: dict[str, Any]) -> tuple[Recipe, Gate | None]:
    """Return what the command line asks for, on top of a recipe file."""
    from kit import recipe

    for name in ("formats", "keep_float"):
        options[name] = _recipe_options.parts(options[name])
    fields = recipe.read(recipe_file) if recipe_file else {}
    fields |= {name: value for name, value in options.items() if value is not None}
    gate = _gate(fields)
    if "model" not in fields:
        raise RecipeError("no model is named", "for example: kit build mobilenet_v2")
    return recipe.make(**fields), gate


def _build(made: Recipe, target: Path, use_cache: bool, gate: Gate | None) -> Bundle | None:
    """Return the bundle; None in all processes of torchrun but the first, which shows it."""
    from kit.commands._progress import stages
    from kit.guard import stdout_kept
    from kit.pipeline import build
    from kit.quantize._distributed import standing

    with stages() as progress, stdout_kept():
        found = build(made, target, progress, use_cache=use_cache, gate=gate)
    return found if standing().leads else None


def _gate(fields: dict[str, Any]) -> Gate | None:
    """Take the accuracy gate out of the fields; a recipe file may hold it too."""
    from kit.pipeline import Gate

    given = {
        name: fields.pop(old)
        for name, old in (
            ("max_drop", "max_drop"),
            ("min_agreement", "min_agreement"),
            ("images", "gate_images"),
        )
        if old in fields
    }
    return Gate(**given) if given else None


def _explain(made: Recipe, gate: Gate | None) -> None:
    from rich.console import Console

    from kit.pipeline import explain

    for heading, lines in explain(made, gate):
        click.echo(heading)
        Console(soft_wrap=True).print(
            *(f"  {line}" for line in lines), sep="\n", highlight=False, markup=False
        )


def _show(found: Bundle) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    manifest = found.manifest
    table = Table(title=Text(str(found.path)), title_justify="left")
    table.add_column("format")
    for heading in ("MB", "vs its graph", "vs float", "SQNR dB", "delegated"):
        table.add_column(heading, justify="right")
    for artifact in manifest.artifacts:
        graph, reference = artifact.parity
        exact = "equal" if graph.max_abs == 0 else f"{graph.agreement:.0%}, {graph.max_abs:.2g}"
        sqnr = "equal" if reference.sqnr_db is None else f"{reference.sqnr_db:.1f}"
        size = manifest.files[artifact.file].size / 1e6
        table.add_row(
            artifact.format,
            f"{size:.2f}",
            exact,
            f"{reference.agreement:.0%}",
            sqnr,
            _delegated(artifact.delegates, artifact.not_delegated),
        )
    Console().print(table)
    notes = Console(stderr=True)
    notes.print(f"weights: {manifest.weights.source}", highlight=False, markup=False)
    notes.print(
        f"vs its graph: same first answer on {manifest.golden.images} golden crops, and the "
        "largest difference of a logit",
        highlight=False,
        markup=False,
    )
    for artifact in manifest.artifacts:
        if artifact.computed_in_float:
            floats = ", ".join(f"{k} ×{n}" for k, n in artifact.computed_in_float.items())
            notes.print(
                f"{artifact.format} computes in float: {floats}", highlight=False, markup=False
            )
    for row in manifest.gate.rows if manifest.gate else ():
        drop = "" if row.drop is None else f"{row.drop:.2f} points of top-1 lost, "
        words = f"gate passed: {row.format}: {drop}{row.agreement:.1f} % agreement"
        notes.print(words, highlight=False, markup=False)
    for warning in manifest.warnings:
        notes.print(f"warning: {warning}", style="yellow", highlight=False, markup=False)


def _delegated(delegates: dict[str, int], rest: dict[str, int]) -> str:
    if not delegates:
        return "-"
    taken = sum(delegates.values())
    return f"{taken}/{taken + sum(rest.values())}"
