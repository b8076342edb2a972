"""`kit build`: from weights to a verified bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kit import terminal
from kit.commands.common import recipe_options
from kit.commands.common.option_types import OUTPUT_PATH, PATH, Finite, Given, make_list_option
from kit.commands.common.settings import split_defaults
from kit.errors import PARTIAL, RecipeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kit.bundles.bundle import Bundle
    from kit.manifest.artifacts import Artifact, Comparison
    from kit.pipeline import Gate
    from kit.recipe import Recipe


@click.command("build")
@click.argument("model", required=False)
@recipe_options.TASK
@recipe_options.MODEL
@recipe_options.TEXT
@recipe_options.STATE
@click.option(
    "--quantize",
    metavar="none|dynamic|static|qat|weights",
    help="Quantization method. Default: static.",
)
@recipe_options.QUANTIZATION
@make_list_option(
    "--format",
    "formats",
    metavar="F,…",
    help="Comma-separated formats, with another backend as FORMAT/BACKEND. Default: "
    "lite,executorch,onnx.",
)
@make_list_option(
    "--precision",
    "precisions",
    metavar="P,…",
    help="Comma-separated precisions of each format, see `kit list`. "
    "Default: what --quantize gives.",
)
@recipe_options.DYNAMIC
@click.option(
    "--encodings",
    metavar="FILE",
    help="Scales and offsets to quantize with, an encodings.json. Default: they are chosen.",
)
@recipe_options.CALIBRATION
@click.option(
    "--train",
    metavar="DIR_OR_ZIP",
    help="Pictures for qat, with or without labels. Default: those that calibrate.",
)
@click.option("--train-steps", type=int, help="Optimizer steps of qat. Default: 40.")
@click.option("--train-batch", type=int, help="Pictures per step of qat. Default: 16.")
@click.option("--learning-rate", type=Finite(), help="Highest learning rate of qat. Default: 1e-5.")
@click.option(
    "--max-drop",
    type=Finite(),
    metavar="POINTS",
    help="Fail if a file loses more top-1, or mAP of a detector.",
)
@click.option(
    "--min-agreement",
    type=Finite(),
    metavar="PERCENT",
    help="Fail if a file gives the float model's answer less often.",
)
@click.option(
    "--gate-images",
    metavar="DIR_OR_ZIP",
    help="Pictures for these two limits. Default: what the calibration left over.",
)
@recipe_options.SEED
@click.option(
    "--recipe",
    "recipe_file",
    type=PATH,
    help="TOML file with these options; the command line wins.",
)
@click.option(
    "-o",
    "--output",
    type=OUTPUT_PATH,
    help="Folder of the bundle. Default: out/ and a name made of the recipe.",
)
@click.option("--no-cache", is_flag=True, help="Build again even if nothing changed.")
@click.option(
    "--all-or-nothing",
    is_flag=True,
    help="Write no bundle if a format fails. Default: a bundle of those that pass, exit code 10.",
)
@click.option("--explain", is_flag=True, help="Explain what would be done, and build nothing.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print bundle.json instead of a table; with --explain one JSON object of its lines.",
)
def command(
    recipe_file: Path | None,
    output: Path | None,
    no_cache: bool,
    all_or_nothing: bool,
    explain: bool,
    as_json: bool,
    **options: Given,
) -> int:
    """Build, quantize, lower and verify MODEL; write a bundle.

    MODEL is a name that `kit list` shows, SOURCE:NAME for a model of another library, such as
    torchvision:resnet18 (`kit list --models WORD` finds them), or FILE.py:FACTORY for a model
    of your own, whose file is then run. Progress goes to stderr; the table, or with --json the
    content of bundle.json, goes to stdout.
    """
    recipe, gate = _read_options(recipe_file, options)
    if explain:
        _explain(recipe, gate, as_json)
        return 0
    target = output or Path("out") / recipe.slug
    bundle = _build(recipe, target, not no_cache, gate, all_or_nothing)
    if bundle is None:
        return 0
    terminal.print_json(_record(bundle), indent=1) if as_json else _show(bundle)
    return PARTIAL if bundle.manifest.failed else 0


def _record(bundle: Bundle) -> object:
    return json.loads(bundle.manifest.model_dump_json())


def _read_options(
    recipe_file: Path | None, options: dict[str, Given]
) -> tuple[Recipe, Gate | None]:
    """Return recipe and gate of the command line, which overrides a recipe file."""
    from kit import recipe_input

    for name in ("formats", "precisions", "keep_float", "state"):
        options[name] = recipe_options.split_items(options[name])
    defaults, given = split_defaults(options)
    fields: dict[str, Given] = (
        defaults | (recipe_input.read_recipe(recipe_file) if recipe_file else {}) | given
    )
    gate = _gate(fields)
    if "model" not in fields:
        raise RecipeError("no model is named", "for example: kit build mobilenet_v2")
    return recipe_input.make_recipe(**fields), gate


def _build(
    recipe: Recipe, target: Path, use_cache: bool, gate: Gate | None, all_or_nothing: bool
) -> Bundle | None:
    """Return the bundle; None in all processes of torchrun but rank 0, which shows it."""
    from kit.commands.common.progress_display import show_stages
    from kit.guard import keep_stdout
    from kit.pipeline import build
    from kit.quantize.distributed import from_environment

    with show_stages() as progress, keep_stdout():
        bundle = build(recipe, target, progress, use_cache, gate, all_or_nothing)
    return bundle if from_environment().is_rank0 else None


def _gate(fields: dict[str, Given]) -> Gate | None:
    """Remove the accuracy gate from the fields, and return it; a recipe file may have it, too."""
    from kit.pipeline import Gate

    limits = {
        name: fields.pop(old)
        for name, old in (
            ("max_drop", "max_drop"),
            ("min_agreement", "min_agreement"),
            ("images", "gate_images"),
        )
        if old in fields
    }
    return Gate(**limits) if limits else None


def _explain(recipe: Recipe, gate: Gate | None, as_json: bool) -> None:
    from kit.pipeline import explain

    sections = explain(recipe, gate)
    if as_json:
        parts = [{"heading": heading, "lines": lines} for heading, lines in sections]
        terminal.print_json({"explanation": parts})
        return
    for heading, lines in sections:
        terminal.echo("\n".join([heading, *(f"  {line}" for line in lines)]))


def _show(bundle: Bundle) -> None:
    from rich.table import Table

    from kit.commands.common.advice import write_notices

    manifest = bundle.manifest
    table = Table(title=str(bundle.path), title_justify="left")
    table.add_column("file")
    for heading in ("MB", "vs its graph", "vs float", "SQNR dB", "delegated"):
        table.add_column(heading, justify="right")
    for artifact in manifest.artifacts:
        size = manifest.measure(artifact.file).size / 1e6
        delegated = _delegated(artifact.delegates, artifact.not_delegated)
        table.add_row(artifact.name, f"{size:.2f}", *_compared(artifact), delegated)
    for failure in manifest.failed:
        table.add_row(failure.name, "failed", *["-"] * 4)
    terminal.print_table(table)
    terminal.print_note(f"weights: {manifest.weights.source}")
    if manifest.preprocessing is not None:
        terminal.print_note(f"pictures: {manifest.preprocessing.describe()}")
    golden = f"on {manifest.golden.images} golden inputs"
    compared = [one for artifact in manifest.artifacts for one in artifact.parity]
    has_classes = any(one.agreement is not None for one in compared)
    what = f"same first answer {golden}, and the " if has_classes else ""
    terminal.print_note(
        f"vs its graph: {what}largest difference of a value" + ("" if what else f" {golden}")
    )
    if manifest.preprocessing is not None and has_classes:
        count = manifest.golden.images
        where = f"on {count} crops of sample photos; `kit eval` measures pictures of yours"
        terminal.print_note(f"vs float, SQNR dB: {where}")
    for artifact in manifest.artifacts:
        if artifact.computed_in_float:
            floats = ", ".join(f"{k} ×{n}" for k, n in artifact.computed_in_float.items())
            terminal.print_note(f"{artifact.name} computes in float: {floats}")
    for row in manifest.gate.rows if manifest.gate else ():
        drop = "" if row.drop is None else f"{row.drop:.2f} points of top-1 lost, "
        words = f"gate passed: {row.name}: {drop}{row.agreement:.1f} % agreement"
        terminal.print_note(words)
    for failure in manifest.failed:
        terminal.echo(f"{failure.name} failed: {failure.reason}", err=True)
        terminal.echo(f"hint: {failure.hint}", err=True)
    for line in write_notices(((notice, "") for notice in manifest.notices), 1):
        terminal.make_console(err=True).print(line, style="yellow")
        terminal.log(line)


def _compared(artifact: Artifact) -> Iterator[str]:
    """Yield the cells of a file against its graph and the float model, each output's worst."""
    from kit.comparison import find_worst

    graph = find_worst(artifact.parity, "quantized graph")
    reference = find_worst(artifact.parity, "float reference")
    if reference is None:
        yield from "-" * 3
        return
    if graph is None:
        yield "-" if artifact.executed else "not run"  # then its graph stands for it
        yield from _against_float(reference)
        return
    share = "" if graph.agreement is None else f"{graph.agreement:.0%}, "
    yield "equal" if graph.max_abs == 0 else f"{share}{graph.max_abs:.2g}"
    yield from _against_float(reference)


def _against_float(reference: Comparison) -> Iterator[str]:
    yield "-" if reference.agreement is None else f"{reference.agreement:.0%}"
    yield "equal" if reference.sqnr_db is None else f"{reference.sqnr_db:.1f}"


def _delegated(delegates: dict[str, int], rest: dict[str, int]) -> str:
    if not delegates:
        return "-"
    delegated = sum(delegates.values())
    return f"{delegated}/{delegated + sum(rest.values())}"
