"""`kit table`: every artifact of bundles with what was measured of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kit import terminal
from kit.commands.common.option_types import OUTPUT_PATH, PATH
from kit.text import make_one_line

if TYPE_CHECKING:
    from kit.bundles.bundle import Bundle
    from kit.results.kinds import AnyResult
    from kit.table.overview import Overview

_WIDEST = 200  # columns


@click.command("table")
@click.argument("models", type=PATH, nargs=-1, required=True, metavar="MODEL…")
@click.option(
    "--results",
    "paths",
    type=PATH,
    multiple=True,
    metavar="RESULT",
    help="Result or folder of results of `kit eval` and `kit bench`. Default: those beside each "
    "bundle.",
)
@click.option("--markdown", type=OUTPUT_PATH, metavar="FILE", help="Write Markdown, for a README.")
@click.option(
    "--html", "page", type=OUTPUT_PATH, metavar="FILE", help="Write a page with a Pareto plot."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(
    models: tuple[Path, ...],
    paths: tuple[Path, ...],
    markdown: Path | None,
    page: Path | None,
    as_json: bool,
) -> None:
    """Compare formats, backends and precisions: size, accuracy, latency, memory of all files.

    MODEL is a bundle, a result, or a folder of results. Nothing is measured: cells that no result
    fills are empty, and what to type to fill them goes to stderr. Emulated and virtual devices
    have tables of their own and are never ranked.
    """
    from kit.commands.common.output_checks import check_file
    from kit.table import overview, record
    from kit.table import page as pages
    from kit.table.front import mark_front
    from kit.table.missing import suggest, suggest_device

    for file in (markdown, page):
        if file is not None:
            check_file(file)
    bundles, results = _read(models, paths)
    shown = mark_front(overview.build(bundles, results))
    commands, on_device = suggest(shown), suggest_device(shown)
    if page is not None:
        pages.write(page, pages.render_html(shown, commands, on_device), "--html")
    if markdown is not None:
        pages.write(markdown, pages.render_markdown(shown), "--markdown")
    if as_json:
        terminal.print_json(record.as_json(shown, [*commands, *on_device]))
    else:
        _print(shown)
    _note("to fill the empty cells:", commands)
    _note("to measure on a phone as well:", on_device)
    for file in (page, markdown):
        if file is not None and not as_json:
            terminal.echo(str(file))


def _note(purpose: str, commands: Sequence[str]) -> None:
    """Print commands on stderr, and what they are for."""
    if commands:
        terminal.print_note(purpose)
    for line in commands:
        terminal.print_note(f"  {make_one_line(line)}")


def _read(
    models: tuple[Path, ...], paths: tuple[Path, ...]
) -> tuple[list[Bundle], list[AnyResult]]:
    """Return the bundles, and the results that are named or lie beside them."""
    from kit.bundles import loading
    from kit.results.discover import is_bundle, read_beside, read_named

    folders = [path for path in dict.fromkeys(models) if is_bundle(path)]
    named = [path for path in dict.fromkeys(models) if path not in folders]
    loaded = [loading.load_bundle(path) for path in folders]
    results = read_named((*named, *paths))
    if not paths:
        for bundle in loaded:
            results += read_beside(bundle.path, bundle.hash)
    return loaded, results


def _print(shown: Overview) -> None:
    """Print the tables on stdout, and what has to be known of them on stderr."""
    from rich import box
    from rich.table import Table

    from kit.table.page import list_notes, list_tables

    for table in list_tables(shown):
        grid = Table(title=make_one_line(table.caption), box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        grid.add_column("file", no_wrap=True)
        for column in table.columns:
            grid.add_column(column, justify="right")
        for line in table.lines:
            marks = "".join(f" ({mark})" for mark in line.head.marks)
            cells = (" ".join(filter(None, (c.text, c.note and f"({c.note})"))) for c in line.cells)
            grid.add_row(make_one_line(f"{line.head.text}{marks}"), *map(make_one_line, cells))
        terminal.print_table(grid, _WIDEST)
    for note in list_notes(shown):
        terminal.print_note(make_one_line(note))
