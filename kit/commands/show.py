"""`kit show`: what model files contain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kit import terminal
from kit.commands.common.option_types import OUTPUT_PATH, PATH, make_list_option
from kit.errors import UsageError
from kit.text import make_one_line

if TYPE_CHECKING:
    from kit.formats.structure import GraphEntry, NodeEntry, TensorEntry
    from kit.results.kinds import AnyResult
    from kit.results.latency import LatencyResult
    from kit.show.model_file import ModelFile
    from kit.show.times import Times


@click.command("show")
@click.argument("model", type=PATH, metavar="BUNDLE_OR_FILE")
@make_list_option(
    "--format",
    "names",
    metavar="F,…",
    help="Comma-separated formats or files, such as onnx or onnx-fp32: each node and the code are "
    "printed. Default: a summary of all files.",
)
@click.option(
    "--results",
    "paths",
    type=PATH,
    multiple=True,
    metavar="RESULT",
    help="Result or folder of results with times of operators (kit bench --profile). Default: "
    "those beside the bundle.",
)
@click.option(
    "--html", "page", type=OUTPUT_PATH, metavar="FILE", help="Draw the graphs as an HTML page."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def command(
    model: Path, names: str | None, paths: tuple[Path, ...], page: Path | None, as_json: bool
) -> None:
    """Show the structure of model files: versions, graphs, nodes, encodings, code.

    BUNDLE_OR_FILE is a bundle, or a model file of any origin, which is recognized by its content.
    Nothing is run. A format whose files kit cannot look into is listed as such.
    """
    from kit.commands.common.output_checks import check_file

    if page is not None:
        check_file(page)
    plain = model.is_file() or _is_model_folder(model)
    if plain and names is not None:
        raise UsageError(
            f"{model} is one file, and --format chooses files of a bundle", "leave --format out"
        )
    shown = [_read_plain(model, paths)] if plain else list(_read_bundle(model, names, paths))
    for one in shown:
        if one.missing is not None:
            terminal.print_error(one.missing.message, one.missing.hint)
    if page is not None:
        from kit.show.page import write

        write(page, model.name or str(model), shown)
    if as_json:
        terminal.print_json({"files": {one.name: _record(one) for one in shown}}, indent=1)
    elif page is not None:
        terminal.echo(str(page))
    else:
        for one in shown:
            print_file(one, plain or names is not None)


def _is_model_folder(path: Path) -> bool:
    from kit.show.model_file import is_model_folder

    return is_model_folder(path)


def _read_plain(path: Path, results: tuple[Path, ...]) -> ModelFile:
    from kit.results.discover import read_named
    from kit.show.model_file import read_plain_file

    return read_plain_file(path, _pick_latency(read_named(results)))


def _read_bundle(path: Path, names: str | None, results: tuple[Path, ...]) -> Iterator[ModelFile]:
    from kit.bundles import loading
    from kit.results.discover import read_beside, read_named
    from kit.show.model_file import read_bundle_file

    requested = None if names is None else [n.strip() for n in names.split(",") if n.strip()]
    if requested == []:
        raise UsageError("--format names nothing", "for example: --format onnx,lite")
    bundle = loading.load_bundle(path)
    loading.check_named([bundle], requested or ())
    keys = bundle.manifest.select(requested)
    records = read_named(results) if results else read_beside(bundle.path, bundle.hash)
    for key in keys:
        yield read_bundle_file(bundle, key.name, _pick_latency(records))


def _pick_latency(results: list[AnyResult]) -> list[LatencyResult]:
    from kit.results.latency import LatencyResult

    return [result for result in results if isinstance(result, LatencyResult)]


def _record(file: ModelFile) -> dict[str, object] | None:
    """Return what `--json` prints of a file."""
    if file.structure is None:
        return None
    record: dict[str, object] = asdict(file.structure)
    record["times"] = None
    if file.times is not None:
        times = asdict(file.times)
        del times["nodes"]
        record["times"] = {**times, "created": file.times.created.isoformat()}
    return record


def print_file(file: ModelFile, whole: bool) -> None:
    """Print metadata, graphs, times and code: a summary, or all of them."""
    terminal.echo(f"{make_one_line(file.name)}: {make_one_line(file.file)}")
    structure = file.structure
    if structure is None:
        terminal.echo("  kit cannot look into files of this format\n")
        return
    for name, value in structure.metadata.items():
        terminal.echo(f"  {make_one_line(name)}: {make_one_line(value)}")
    for graph in structure.graphs:
        _print_graph(graph, file.times, whole)
    if file.times is not None:
        _print_times(file, file.times, whole)
    if structure.code and whole:
        terminal.echo(f"\n{structure.code}")
    elif structure.code:
        terminal.echo(f"  code: {_count(len(structure.code.splitlines()), 'line')}")
    terminal.echo()


def _print_graph(graph: GraphEntry, times: Times | None, whole: bool) -> None:
    weights = "" if graph.weights is None else f", {_count(graph.weights, 'constant')}"
    nodes = _count(len(graph.nodes), "node") if graph.nodes else "nodes unknown"
    encoded = sum(one.encoding is not None for one in graph.list_tensors().values())
    quantized = f", {_count(encoded, 'tensor')} with an encoding" if encoded else ""
    terminal.echo(f"  graph {make_one_line(graph.name)}: {nodes}{weights}{quantized}")
    for word, tensors in (("input", graph.inputs), ("output", graph.outputs)):
        for tensor in tensors:
            terminal.echo(f"    {word} {_describe(tensor)}")
    if whole:
        _print_nodes(graph, times)
        return
    counts = Counter(node.operator for node in graph.nodes)
    for operator, count in counts.most_common():
        terminal.echo(f"    {make_one_line(operator)} ×{count}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _describe(tensor: TensorEntry) -> str:
    from kit.show.view import describe_tensor

    return make_one_line(describe_tensor(tensor))


def _print_nodes(graph: GraphEntry, times: Times | None) -> None:
    """Print each node: operator, inputs, outputs, parameters and time; below it, encodings."""
    from kit.show.view import describe_encoding

    tensors = graph.list_tensors()
    for number, node in enumerate(graph.nodes):
        terminal.echo(
            f"    {number}  {make_one_line(_write_node(node))}{_time(times, graph, number)}"
        )
        known = [tensors[name] for name in (*node.outputs, *node.inputs) if name in tensors]
        # A node that quantizes has one encoding on both sides.
        encoded = {one.encoding: one.name for one in reversed(known) if one.encoding is not None}
        for encoding, name in reversed(encoded.items()):
            terminal.echo(f"        {make_one_line(f'{name}: {describe_encoding(encoding)}')}")


def _write_node(node: NodeEntry) -> str:
    parameters = ", ".join(f"{name}={value}" for name, value in node.parameters.items())
    ends = f"{', '.join(node.inputs)} -> {', '.join(node.outputs)}"
    ends = ends if node.inputs or node.outputs else ""
    # A delegate's call is named after the graph that it computes.
    named = node.name if not ends or node.operator == "executorch_call_delegate" else ""
    return "  ".join(part for part in (node.operator, named, ends, parameters) if part)


def _time(times: Times | None, graph: GraphEntry, number: int) -> str:
    from kit.report.text import format_percent, format_significant

    time = times.nodes.get((graph.name, number)) if times else None
    return (
        ""
        if time is None
        else f"  {format_significant(time.us)} µs, {format_percent(time.share)} %"
    )


def _print_times(file: ModelFile, times: Times, whole: bool) -> None:
    """Print the slowest operators, or all."""
    from kit.report.text import format_percent, format_significant
    from kit.show.page import describe_times

    terminal.echo(f"  times: {make_one_line(describe_times(file))}")
    slowest = sorted(times.operators, key=lambda one: -one.share)
    for one in slowest if whole else slowest[:3]:
        terminal.echo(
            f"    {make_one_line(one.name)} ×{one.calls}  {format_significant(one.us)} µs a call, "
            f"{format_percent(one.share)} %"
        )
