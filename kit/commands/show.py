"""`kit show`: what the model files of a bundle contain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kit import terminal
from kit.commands.common.option_types import PATH, list_option
from kit.errors import MissingTool, UsageError
from kit.text import one_line

if TYPE_CHECKING:
    from kit.bundle import Bundle
    from kit.formats.structure import GraphEntry, ModelStructure, TensorEntry


@click.command("show")
@click.argument("bundle", type=PATH)
@list_option(
    "--format",
    "names",
    metavar="F,…",
    help="Comma-separated formats or files, such as onnx or onnx-fp32: each node and the code are "
    "printed. Default: a summary of all files.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def command(bundle: Path, names: str | None, as_json: bool) -> None:
    """Show the structure of the model files of BUNDLE: versions, graphs, nodes, code.

    Nothing is run. A format whose files kit cannot look into is listed as such.
    """
    from kit import bundle as bundles

    loaded = bundles.load(bundle)
    whole = names is not None or as_json
    structures = dict(_read_structures(loaded, names))
    if as_json:
        shown = {name: one and asdict(one) for name, one in structures.items()}
        terminal.print_json({"files": shown}, indent=1)
        return
    for name, structure in structures.items():
        terminal.echo(f"{name}: {loaded.manifest.artifact(name).file}")
        if structure is None:
            terminal.echo("  kit cannot look into files of this format\n")
        else:
            print_structure(structure, whole)


def _read_structures(
    bundle: Bundle, names: str | None
) -> Iterator[tuple[str, ModelStructure | None]]:
    from kit import formats
    from kit.bundle import check_named
    from kit.formats.structure import reading

    requested = None if names is None else [n.strip() for n in names.split(",") if n.strip()]
    if requested == []:
        raise UsageError("--format names nothing", "for example: --format onnx,lite")
    check_named([bundle], requested or ())
    for key in bundle.manifest.select(requested):
        try:
            path = bundle.file(key.name)
            with reading(path):
                structure = formats.get_format(key.format).read_structure(path)
        except MissingTool as exc:
            terminal.print_error(exc.message, exc.hint)
            structure = None
        yield key.name, structure


def print_structure(structure: ModelStructure, whole: bool) -> None:
    """Print metadata, graphs and code: a summary, or all of them."""
    for name, value in structure.metadata.items():
        terminal.echo(f"  {one_line(name)}: {one_line(value)}")
    for graph in structure.graphs:
        _print_graph(graph, whole)
    if structure.code and whole:
        terminal.echo(f"\n{structure.code}")
    elif structure.code:
        terminal.echo(f"  code: {_count(len(structure.code.splitlines()), 'line')}")
    terminal.echo()


def _print_graph(graph: GraphEntry, whole: bool) -> None:
    weights = "" if graph.weights is None else f", {_count(graph.weights, 'constant')}"
    nodes = _count(len(graph.nodes), "node") if graph.nodes else "nodes unknown"
    terminal.echo(f"  graph {one_line(graph.name)}: {nodes}{weights}")
    for word, tensors in (("input", graph.inputs), ("output", graph.outputs)):
        for tensor in tensors:
            terminal.echo(f"    {word} {_describe(tensor)}")
    if whole:
        _print_nodes(graph)
        return
    counts = Counter(node.operator for node in graph.nodes)
    for operator, count in counts.most_common():
        terminal.echo(f"    {one_line(operator)} ×{count}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _describe(tensor: TensorEntry) -> str:
    return one_line(f"{tensor.name}: {tensor.type}" if tensor.type else tensor.name)


def _print_nodes(graph: GraphEntry) -> None:
    """Print a line for each node: operator, inputs, outputs, parameters."""
    for number, node in enumerate(graph.nodes):
        parameters = ", ".join(f"{name}={value}" for name, value in node.parameters.items())
        ends = f"{', '.join(node.inputs)} -> {', '.join(node.outputs)}"
        ends = ends if node.inputs or node.outputs else ""
        named = "" if ends else node.name
        parts = (part for part in (node.operator, named, ends, parameters) if part)
        terminal.echo(f"    {number}  {one_line('  '.join(parts))}")
