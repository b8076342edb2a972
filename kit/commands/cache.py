"""`kit cache`: what kit keeps on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kit import terminal
from kit.commands.common.groups import CommandGroup
from kit.errors import OutputError, UnknownName

if TYPE_CHECKING:
    from kit.user_cache import CacheUsage

JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group("cache", cls=CommandGroup)
def command() -> None:
    """What kit keeps in your cache folder: bundles, runners, downloads."""


@command.command("list")
@JSON
def list_(as_json: bool) -> None:
    """List the kinds of files, how many there are, what they take and where they are."""
    from kit.user_cache import KINDS

    usages = _measure(tuple(KINDS))
    if as_json:
        terminal.print_json({"kinds": [_record(one) for one in usages]}, indent=1)
        return
    from rich.table import Table

    table = Table("kind", "what it is")
    for name in ("entries", "MB"):
        table.add_column(name, justify="right")
    table.add_column("folder", overflow="fold")
    for one in usages:
        numbers = (str(one.entries), f"{one.size / 1e6:.1f}")
        table.add_row(one.kind, KINDS[one.kind].summary, *numbers, str(one.folder))
    terminal.print_table(table)
    for one in usages:
        if one.others:
            terminal.print_note(f"{one.folder}: {one.others} entries are not kit's")


@command.command("size")
@click.argument("kinds", metavar="[KIND…]", nargs=-1)
@JSON
def size(kinds: tuple[str, ...], as_json: bool) -> None:
    """Print the size of all kinds, or of KIND, on the disk."""
    total = sum(one.size for one in _measure(_choose(kinds)))
    if as_json:
        terminal.print_json({"size": total})
    else:
        terminal.echo(f"{total / 1e6:.1f} MB")


@command.command("clear")
@click.argument("kinds", metavar="[KIND…]", nargs=-1)
@click.option("--yes", is_flag=True, help="Do not ask.")
@JSON
def clear(kinds: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Remove all kinds of files, or KIND: all of them can be made or fetched again.

    What a running kit uses stays (exit code 7), and so does what is not kit's.
    """
    from kit.user_cache import CacheInUse, clear_kind

    chosen = _choose(kinds)
    if not yes and not _is_wanted(_measure(chosen)):
        terminal.print_note("nothing was removed")
        chosen = ()
    removed: list[CacheUsage] = []
    in_use: list[str] = []
    for kind in chosen:
        try:
            removed.append(clear_kind(kind))
        except CacheInUse:
            in_use.append(kind)
    if as_json:
        records = [_record(one) for one in removed]
        terminal.print_json({"removed": records, "in_use": in_use}, indent=1)
    else:
        for one in removed:
            terminal.echo(f"{one.kind}: {one.entries} removed, {one.size / 1e6:.1f} MB")
    if in_use:
        raise OutputError(
            f"a running kit uses {', '.join(in_use)}, which stay",
            f"when it has ended: kit cache clear {' '.join(in_use)}",
        )


def _is_wanted(usages: tuple[CacheUsage, ...]) -> bool:
    total = sum(one.size for one in usages) / 1e6
    names = ", ".join(f"{one.entries} of {one.kind}" for one in usages)
    return terminal.confirm(f"remove {names}, {total:.1f} MB?")


def _choose(kinds: tuple[str, ...]) -> tuple[str, ...]:
    """Return the kinds of the arguments, all if there are none.

    Raises:
        UnknownName: there is no such kind.
    """
    from kit.user_cache import KINDS

    for kind in kinds:
        if kind not in KINDS:
            raise UnknownName.among("kind of cached files", kind, list(KINDS))
    return tuple(dict.fromkeys(kinds)) or tuple(KINDS)


def _measure(kinds: tuple[str, ...]) -> tuple[CacheUsage, ...]:
    from kit.user_cache import measure_kind

    return tuple(map(measure_kind, kinds))


def _record(usage: CacheUsage) -> dict[str, object]:
    return {
        "kind": usage.kind,
        "folder": str(usage.folder),
        "entries": usage.entries,
        "size": usage.size,
        "others": usage.others,
    }
