"""`kit cost`: multiply-adds and parameters of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kit import terminal
from kit.commands.common.option_types import Finite, SideOption

if TYPE_CHECKING:
    from rich.table import Table

    from kit.cost.layers import Cost, Total


@click.command("cost")
@click.argument("model")
@click.option(
    "--resolution",
    "--input",
    type=SideOption(),
    metavar="N|HxW",
    help="Side of a square input in pixels, or height and width. Default: 224; of SOURCE:NAME "
    "the model's own.",
)
@click.option("--width", type=Finite(), default=1.0, help="Width multiplier. Default: 1.0.")
@click.option(
    "--full", is_flag=True, help="Beside it the twin with full instead of separable convolutions."
)
@click.option("--per-layer", is_flag=True, help="One line for each layer as well.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
def command(
    model: str,
    resolution: int | tuple[int, int] | None,
    width: float,
    full: bool,
    per_layer: bool,
    as_json: bool,
) -> None:
    """Multiply-adds and parameters of MODEL, by layer type.

    MODEL is a name that `kit list` or `kit list --models` shows, such as mobilenet_v2 or
    torchvision:resnet18, or FILE.py:FACTORY for a model of your own, whose file is then run.
    Counted as the MobileNet papers count: weights of convolutions and fully connected layers,
    BatchNorm folded, without biases.
    """
    from kit import cost, recipe, recipe_input
    from kit.guard import keep_stdout
    from kit.models import list_models

    with keep_stdout():
        if resolution is None:
            resolution = recipe_input.make_recipe(model).sides
        counted = cost.compute_cost(model, resolution, width)
    sides = (resolution, resolution) if isinstance(resolution, int) else resolution
    twin = counted.with_full_convolutions()
    if as_json:
        about = {"model": model, "resolution": sides[0], "width": width}
        if sides[0] != sides[1]:
            about["input_width"] = sides[1]
        terminal.print_json({**about, **_record(counted), "full": _record(twin)})
        return
    size = f"{recipe.format_sides(*sides)} px"
    # Other models take no width.
    title = ", ".join([model, *([f"width {width:g}"] if model in list_models() else []), size])
    _show(counted, title, per_layer)
    if full:
        _show(twin, f"{title}, with full convolutions", per_layer)
        _compare(counted.total, twin.total)
    _note(counted)


def _record(cost: Cost) -> dict[str, object]:
    """Return a cost as JSON; shares are between 0 and 1."""
    total = cost.total
    kinds = [
        {
            "type": kind,
            "layers": own.layers,
            "multiply_adds": own.multiply_adds,
            "multiply_adds_share": _share(own.multiply_adds, total.multiply_adds),
            "parameters": own.parameters,
            "parameters_share": _share(own.parameters, total.parameters),
        }
        for kind, own in cost.by_kind().items()
    ]
    layers = [
        {
            "name": layer.name,
            "type": layer.kind,
            "output": layer.output,
            "multiply_adds": layer.multiply_adds,
            "parameters": layer.parameters,
        }
        for layer in cost.layers
    ]
    return {
        "multiply_adds": total.multiply_adds,
        "parameters": total.parameters,
        "stored_parameters": cost.stored,
        "types": kinds,
        "layers": layers,
    }


def _show(cost: Cost, title: str, per_layer: bool) -> None:
    if per_layer:
        terminal.print_table(_layers(cost, title))
    terminal.print_table(_kinds(cost, title))


def _layers(cost: Cost, title: str) -> Table:
    table = _table(title, "layer", "type", "output")
    for layer in cost.layers:
        output = "×".join(map(str, layer.output))
        numbers = _numbers(layer.multiply_adds, layer.parameters, cost.total)
        table.add_row(layer.name, layer.kind, output, *numbers)
    return table


def _kinds(cost: Cost, title: str) -> Table:
    table = _table(title, "type", "layers")
    for kind, own in cost.by_kind().items():
        if own.layers:
            numbers = _numbers(own.multiply_adds, own.parameters, cost.total)
            table.add_row(kind, str(own.layers), *numbers)
    table.add_section()
    total = cost.total
    table.add_row(
        "total", str(total.layers), *_numbers(total.multiply_adds, total.parameters, total)
    )
    return table


def _table(title: str, *headings: str) -> Table:
    from rich.table import Table

    table = Table(*headings, title=title, title_justify="left")
    for heading in ("multiply-adds", "%", "parameters", "%"):
        table.add_column(heading, justify="right")
    return table


def _numbers(multiply_adds: int, parameters: int, total: Total) -> tuple[str, str, str, str]:
    return (
        f"{multiply_adds:,}",
        f"{100 * _share(multiply_adds, total.multiply_adds):.2f}",
        f"{parameters:,}",
        f"{100 * _share(parameters, total.parameters):.2f}",
    )


def _share(part: int, whole: int) -> float:
    """Return a share; 0 if the whole is 0, as for a network without weights."""
    return part / whole if whole else 0.0


def _compare(own: Total, full: Total) -> None:
    if not own.multiply_adds or not own.parameters:
        terminal.echo("full convolutions: the model has none")
        return
    adds = full.multiply_adds / own.multiply_adds
    parameters = full.parameters / own.parameters
    terminal.echo(
        f"full convolutions: {adds:.2f} times the multiply-adds, {parameters:.2f} times the "
        "parameters"
    )


def _note(cost: Cost) -> None:
    total = cost.total
    terminal.print_note(
        f"{_round(total.multiply_adds, 1)} multiply-adds, "
        f"{_round(total.parameters, 2)} parameters; "
        f"{cost.stored:,} parameters with biases and BatchNorm's weights"
    )


def _round(number: int, digits: int) -> str:
    """Return a number in millions; whole below one million, where digits would be lost."""
    return f"{number / 1e6:,.{digits}f} M" if number >= 1e6 else f"{number:,}"
