"""`kit build`: from weights to a verified bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kit.commands._input import Colour, Side
from kit.errors import RecipeError

if TYPE_CHECKING:
    from kit.bundle import Bundle
    from kit.pipeline import Gate
    from kit.recipe import Recipe


@click.command("build")
@click.argument("model", required=False)
@click.option(
    "--weights",
    metavar="imagenet|random|FILE",
    help="Default: imagenet; for FILE.py:FACTORY what it comes with.",
)
@click.option(
    "--resolution",
    "--input",
    type=Side(),
    metavar="N|3xNxN",
    help="Side of the square input in pixels. Default: 224.",
)
@click.option(
    "--labels",
    metavar="FILE",
    help="Name of each output in a line. Default: ImageNet's for 1000 outputs.",
)
@click.option(
    "--mean",
    type=Colour(),
    metavar="R,G,B",
    help="Subtracted from pictures of 0 to 1. Default: the model's own, or ImageNet's.",
)
@click.option("--std", type=Colour(), metavar="R,G,B", help="What they are then divided by.")
@click.option("--width", type=float, help="Width multiplier. Default: 1.0.")
@click.option(
    "--quantize",
    metavar="none|dynamic|static|qat",
    help="Quantization method. Default: static.",
)
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
@click.option(
    "--keep-float",
    metavar="N|LAYER,…",
    help="Layers that are not quantized, or how many of those that int8 hurts most.",
)
@click.option(
    "--observer",
    metavar="search|percentile|mse|histogram|minmax|moving-average",
    help="What sets the activation ranges. Default: search.",
)
@click.option(
    "--format",
    "formats",
    metavar="F,…",
    help="Comma-separated formats. Default: lite,executorch,onnx.",
)
@click.option(
    "--calibrate",
    metavar="DIR_OR_ZIP",
    help="Pictures that set the activation ranges. Default: crops of sample photos.",
)
@click.option("--calibration-images", type=int, help="How many of them. Default: 32.")
@click.option(
    "--train",
    metavar="DIR_OR_ZIP",
    help="Pictures for qat, with or without labels. Default: those that calibrate.",
)
@click.option("--train-steps", type=int, help="Optimizer steps of qat. Default: 40.")
@click.option("--train-batch", type=int, help="Pictures per step of qat. Default: 16.")
@click.option("--learning-rate", type=float, help="Highest learning rate of qat. Default: 1e-5.")
@click.option("--max-drop", type=float, metavar="POINTS", help="Fail if a format loses more top-1.")
@click.option(
    "--min-agreement",
    type=float,
    metavar="PERCENT",
    help="Fail if a format gives the float model's answer less often.",
)
@click.option(
    "--gate-images",
    metavar="DIR_OR_ZIP",
    help="Pictures for these two limits. Default: what the calibration left over.",
)
@click.option("--seed", type=int, help="Of everything drawn at random. Default: 0.")
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
    model: str | None,
    formats: str | None,
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
    from kit import recipe
    from kit.commands._progress import stages
    from kit.pipeline import build
    from kit.quantize._distributed import standing

    options |= {"model": model, "formats": _parts(formats)}
    options["keep_float"] = _parts(options["keep_float"])
    fields = recipe.read(recipe_file) if recipe_file else {}
    fields |= {name: value for name, value in options.items() if value is not None}
    gate = _gate(fields)
    if "model" not in fields:
        raise RecipeError("no model is named", "for example: kit build mobilenet_v2")
    made = recipe.make(**fields)
    if explain:
        _explain(made, gate)
        return
    target = output or Path("out") / made.slug
    with stages() as progress:
        found = build(made, target, progress, use_cache=not no_cache, gate=gate)
    if not standing().leads:
        return  # the first process of torchrun shows the bundle of all
    if as_json:
        click.echo(found.manifest.model_dump_json(indent=1))
    else:
        _show(found)


def _parts(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(p.strip() for p in text.split(",") if p.strip())


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
        Console(soft_wrap=True).print(*(f"  {line}" for line in lines), sep="\n", highlight=False)


def _show(found: Bundle) -> None:
    from rich.console import Console
    from rich.table import Table

    manifest = found.manifest
    table = Table(title=f"{found.path}", title_justify="left")
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
    notes.print(f"weights: {manifest.weights.source}", highlight=False)
    notes.print(
        f"vs its graph: same first answer on {manifest.golden.images} golden crops, and the "
        "largest difference of a logit",
        highlight=False,
    )
    for artifact in manifest.artifacts:
        if artifact.computed_in_float:
            floats = ", ".join(f"{k} ×{n}" for k, n in artifact.computed_in_float.items())
            notes.print(f"{artifact.format} computes in float: {floats}", highlight=False)
    for row in manifest.gate.rows if manifest.gate else ():
        drop = "" if row.drop is None else f"{row.drop:.2f} points of top-1 lost, "
        words = f"gate passed: {row.format}: {drop}{row.agreement:.1f} % agreement"
        notes.print(words, highlight=False)
    for warning in manifest.warnings:
        notes.print(f"warning: {warning}", style="yellow", highlight=False)


def _delegated(delegates: dict[str, int], rest: dict[str, int]) -> str:
    if not delegates:
        return "-"
    taken = sum(delegates.values())
    return f"{taken}/{taken + sum(rest.values())}"
