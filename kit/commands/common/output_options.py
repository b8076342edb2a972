"""`--quiet`, `--verbose` and `--log`, which every command has."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from kit import terminal
from kit.commands.common.option_types import OUTPUT_PATH
from kit.errors import UsageError
from kit.terminal import Verbosity

NAMES = frozenset({"quiet", "verbose", "log"})


def add_output_options(command: click.Command) -> None:
    """Add the options to a command that does not have them yet.

    They hold until the command line ends, also for commands that `kit run` calls.
    """
    if not any(parameter.name == "quiet" for parameter in command.params):
        command.params.extend(make_options())


def make_options() -> list[click.Option]:
    """Return the options; commands get no argument for them."""
    quiet = click.Option(
        ["-q", "--quiet"],
        is_flag=True,
        expose_value=False,
        callback=_set_verbosity,
        help="Results, warnings and errors only: neither progress nor notes.",
    )
    verbose = click.Option(
        ["-v", "--verbose"],
        is_flag=True,
        expose_value=False,
        callback=_set_verbosity,
        help="Each step, what libraries print, and tracebacks.",
    )
    log = click.Option(
        ["--log"],
        type=OUTPUT_PATH,
        metavar="FILE",
        expose_value=False,
        is_eager=True,
        callback=_open_log,
        help="Add progress, notes, errors with tracebacks and what libraries print to a file.",
    )
    return [quiet, verbose, log]


def _set_verbosity(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Set the verbosity; the command line wins over a settings file.

    Raises:
        UsageError: the other one is given, too.
    """
    if not value:
        return
    wanted = Verbosity.QUIET if parameter.name == "quiet" else Verbosity.VERBOSE
    now = terminal.get_verbosity()
    if now not in (Verbosity.NORMAL, wanted):
        if context.get_parameter_source(parameter.name or "") is ParameterSource.DEFAULT_MAP:
            return
        raise UsageError("--quiet and --verbose contradict each other", "leave one of them out")
    terminal.set_verbosity(wanted)
    if wanted is Verbosity.VERBOSE and not terminal.has_log():
        from kit import logs

        logs.send_to_screen()


def _open_log(context: click.Context, parameter: click.Parameter, value: Path | None) -> None:
    """Open the file, unless one is open.

    Raises:
        OutputError: it cannot be written to.
    """
    if value is None or terminal.has_log():
        return
    from kit import logs

    file = logs.open_log(value)
    logs.send_to(file)
    terminal.set_log(file)
    terminal.log(f"{context.command_path}, in {Path.cwd()}")
