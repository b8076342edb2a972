"""Groups of commands: `help` as a word, names that are near, summaries in full."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import click

from kit import terminal
from kit.commands.common.output_options import add_output_options
from kit.errors import UnknownName

HELP = "help"
WORDS = "kit.words"  # key in a context's `meta`: the arguments after the command's name


class CommandGroup(click.Group):
    """A group that also takes ``help [COMMAND]``, and lists whole summaries.

    Attributes:
        aliases: words that people try, in lower case, and the command that each stands for.
    """

    aliases: ClassVar[Mapping[str, str]] = {}

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command of the words; ``help X`` is ``X --help``.

        Raises:
            UnknownName: there is no such command.
        """
        if args[0] == HELP:
            args = [*(word for word in args[1:] if not word.startswith("-")), "--help"]
        if args[0] == "--help":
            terminal.echo(self.get_help(ctx))
            ctx.exit()
        if not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            kind = "command" if ctx.parent is None else f"command of {ctx.command_path}"
            raise UnknownName.among(kind, args[0], self.list_commands(ctx), self.aliases)
        ctx.meta[WORDS] = args[1:]
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, with the options that every command has."""
        command = super().get_command(ctx, cmd_name)
        if command is not None and not isinstance(command, click.Group):
            add_output_options(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.list_summaries(ctx)))

    def list_summaries(self, ctx: click.Context) -> Iterator[tuple[str, str]]:
        """Yield each command and the first paragraph of its help."""
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            help_text = (command.help or "") if command else ""
            yield name, " ".join(help_text.partition("\n\n")[0].split())
