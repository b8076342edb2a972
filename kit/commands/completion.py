"""`kit completion`: Tab in the shell."""

from __future__ import annotations

import click

from kit import terminal
from kit.commands.common.completion import SHELLS, make_source


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print a script that makes Tab complete kit's words, for bash, zsh or fish.

    It completes commands, options, and what they take: models, formats, tasks, methods, bundles,
    results, and serials of devices that are connected.
    """
    terminal.echo(make_source(shell).strip("\n"))
