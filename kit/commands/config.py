"""`kit config`: the defaults of options, and where each comes from."""

from __future__ import annotations

from collections.abc import Iterator

import click

from kit import terminal
from kit.commands.common.settings import KIT_TOML, Settings, list_options, read_settings
from kit.errors import UnknownName

BUILT_IN = "kit"


@click.command("config")
@click.argument("words", metavar="[COMMAND…]", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.pass_context
def command(context: click.Context, words: tuple[str, ...], as_json: bool) -> None:
    """Show the defaults that kit.toml or pyproject.toml sets.

    With COMMAND, show each option of that command, its default, and where that comes from.
    """
    main = context.find_root().command
    assert isinstance(main, click.Group)
    settings = read_settings(main)
    rows = list(_list_command(main, words, settings) if words else _list_settings(settings))
    source = None if settings is None else settings.source
    if as_json:
        fields = ("command", "option", "value", "source")
        rows_by_name = [dict(zip(fields, row, strict=True)) for row in rows]
        terminal.print_json({"file": source, "settings": rows_by_name}, indent=1)
        return
    if source is None:
        note = f"no {KIT_TOML} here, and no [tool.kit] in pyproject.toml: kit's own defaults hold"
        terminal.print_note(note)
    if rows:
        from rich.table import Table

        table = Table("command", "option", "default", "from")
        for row in rows:
            table.add_row(*(_show(value) for value in row))
        terminal.print_table(table)


def _list_settings(settings: Settings | None) -> Iterator[tuple[str, str, object, str]]:
    if settings is None:
        return
    last = {(one.command, one.option): one for one in settings.settings}  # the more special one
    for one in last.values():
        yield " ".join(one.command), f"--{one.option}", one.value, settings.source


def _list_command(
    main: click.Group, words: tuple[str, ...], settings: Settings | None
) -> Iterator[tuple[str, str, object, str]]:
    target: click.Command = main
    for word in words:
        names = (
            target.list_commands(click.Context(target)) if isinstance(target, click.Group) else []
        )
        child = target.get_command(click.Context(target), word) if word in names else None  # type: ignore[attr-defined]
        if child is None:
            raise UnknownName.among("command", word, names)
        target = child
    set_here = {
        one.parameter: one.value
        for one in (settings.settings if settings else ())
        if one.command == words
    }
    shown = set()
    for name, option in list_options(target).items():
        parameter = option.name or ""
        if parameter in shown:
            continue
        shown.add(parameter)
        if parameter in set_here and settings is not None:
            yield " ".join(words), f"--{name}", set_here[parameter], settings.source
        else:
            value = option.get_default(click.Context(target))  # click's own marker if it has none
            default = value if isinstance(value, str | int | float | tuple) else None
            yield " ".join(words), f"--{name}", default, BUILT_IN


def _show(value: object) -> str:
    if value is None or value == ():
        return "-"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
