"""`kit runner`: build and list the native programs that run models on devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kit import terminal
from kit.commands.common.groups import CommandGroup
from kit.commands.common.option_types import make_list_option
from kit.errors import UsageError

if TYPE_CHECKING:
    from kit.runners.native import RunnerSet

_HASH_DIGITS = 8  # JSON has the whole folder

JSON = click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of a table.")


@click.group("runner", cls=CommandGroup)
def command() -> None:
    """Native programs that run models on devices, with their libraries."""


@command.command("build")
@make_list_option(
    "--abi",
    "abis",
    default="arm64-v8a,x86_64",
    metavar="A,…",
    help="Comma-separated kinds of processor. Default: arm64-v8a,x86_64.",
)
@make_list_option(
    "--format",
    "names",
    metavar="F,…",
    help="Comma-separated formats. Default: all that have a native runner and are installed.",
)
@JSON
def build(abis: str, names: str | None, as_json: bool) -> None:
    """Build missing runners, and list them.

    Needs Debian's g++, and for another processor g++-aarch64-linux-gnu. The runtimes'
    libraries come from the installed packages, or for another processor from pinned wheels.
    """
    from kit.commands.common import progress_display
    from kit.runners import native

    selected = native.list_installed() if names is None else _words("--format", names)
    built: list[RunnerSet] = []
    with progress_display.show_stages() as report_status:
        for abi in _words("--abi", abis):
            built += native.build(abi, selected, report_status)
    _show(built, as_json)


@command.command("list")
@JSON
def list_(as_json: bool) -> None:
    """List the runners that were built, also those of other versions of kit."""
    from kit.runners import native

    _show(native.list_runners(), as_json)


def _words(option: str, text: str) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise UsageError(f"{option} {text!r} names none", f"for all, leave {option} out")
    return words


def _show(runners: list[RunnerSet], as_json: bool) -> None:
    if as_json:
        terminal.print_json([_record(runner) for runner in runners], indent=1)
        return
    if not runners:
        terminal.echo("no runner was built yet: kit runner build", err=True)
        return
    from rich.table import Table

    table = Table()
    for name in ("abi", "format"):
        table.add_column(name, no_wrap=True)
    table.add_column("runtime", overflow="fold")  # over two lines where the terminal is narrow
    for name in ("MB", "page KB", "glibc"):
        table.add_column(name, justify="right")
    table.add_column("hash", no_wrap=True)  # of its folder's name, which differs between versions
    for runner in runners:
        digest = runner.folder.name.rpartition("-")[2]
        table.add_row(
            *(runner.abi, runner.format, f"{runner.runtime} {runner.runtime_version}"),
            *(f"{runner.size / 1e6:.1f}", str(runner.page // 1024), runner.glibc),
            digest[:_HASH_DIGITS],
        )
    terminal.print_table(table)


def _record(runner: RunnerSet) -> dict[str, object]:
    return {
        "abi": runner.abi,
        "format": runner.format,
        "runtime": runner.runtime,
        "runtime_version": runner.runtime_version,
        "compiler": runner.compiler,
        "protocol": runner.protocol,
        "size": runner.size,
        "files": len(runner.files),
        "page": runner.page,
        "glibc": runner.glibc,
        "folder": str(runner.folder),
    }
