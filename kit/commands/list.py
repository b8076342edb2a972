"""`kit list`: what can be named."""

from __future__ import annotations

from collections.abc import Iterator

import click

from kit import terminal

FAMILIES = ("models", "tasks", "quantize", "corrections", "formats")


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def command(as_json: bool) -> None:
    """List the models, quantization methods and formats that can be named."""
    found = {kind: dict(_summaries(kind)) for kind in FAMILIES}
    if as_json:
        terminal.print_json(found, indent=1)
        return
    from rich.table import Table

    for kind, members in found.items():
        table = Table("name", "what it is", title=kind, title_justify="left")
        for name, summary in members.items():
            table.add_row(name, summary)
        terminal.print_table(table)


def _summaries(kind: str) -> Iterator[tuple[str, str]]:
    from kit import family, formats, tasks

    if kind == "formats":
        yield from ((name, formats.get_format(name).summary) for name in formats.list_formats())
        return
    if kind == "tasks":
        yield from ((name, tasks.get_task(name).summary) for name in tasks.list_tasks())
        return
    for name in family.names(kind):
        module = family.load(kind, name)
        about = getattr(module, "SPEC", None) or module.INFO
        yield name, str(about.summary)
