"""`kit list`: what can be named."""

from __future__ import annotations

import click

from kit import terminal

FAMILIES = ("models", "quantize", "corrections", "formats")


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def command(as_json: bool) -> None:
    """List the models, quantization methods and formats that can be named."""
    from kit import family

    found = {kind: {name: _summary(kind, name) for name in family.names(kind)} for kind in FAMILIES}
    if as_json:
        terminal.print_json(found, indent=1)
        return
    from rich.table import Table

    for kind, members in found.items():
        table = Table("name", "what it is", title=kind, title_justify="left")
        for name, summary in members.items():
            table.add_row(name, summary)
        terminal.print_table(table)


def _summary(kind: str, name: str) -> str:
    from kit import family

    module = family.load(kind, name)
    about = getattr(module, "SPEC", None) or module.INFO
    return str(about.summary)
