"""The front door: finds the command, and turns an error into text and an exit code.

Commands are named here with their summary and imported when they are called, so that
`kit --help` imports nothing but click. Nothing below this file exits or prints errors.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback
from types import FrameType
from typing import Any

import click

from kit import __version__
from kit.errors import INTERRUPTED, UNFORESEEN, KitError, UnknownName, words

COMMANDS = {
    "build": ("kit.commands.build", "Build, quantize, lower and verify a model."),
    "eval": ("kit.commands.eval", "Accuracy of a bundle's formats on a set of pictures."),
    "bench": ("kit.commands.bench", "Latency of a bundle's formats, with every sample kept."),
    "devices": ("kit.commands.devices", "Phones and emulators: state, hardware, temperature."),
    "report": ("kit.commands.report", "Turn result files into Markdown and an HTML page."),
    "analyze": ("kit.commands.analyze", "Where int8 hurts a model, and the cheapest repair."),
    "cost": ("kit.commands.cost", "Multiply-adds and parameters of a model, by layer type."),
    "runner": ("kit.commands.runner", "Native programs that run models on devices."),
    "app": ("kit.commands.app", "The Android app: build, test, install, measure through it."),
    "clean": ("kit.commands.clean", "Remove everything that kit put on a device."),
    "list": ("kit.commands.list", "Models, quantization methods and formats that can be named."),
}


# Read by libraries when they are imported. Threads that spin while they wait slow everything
# down on a busy machine; torch's C++ notes on deprecation are for kit, not for its users.
ENVIRONMENT = {"OMP_WAIT_POLICY": "passive", "TORCH_CPP_LOG_LEVEL": "ERROR"}


_ENDED = [(128 + number,) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]


class LazyGroup(click.Group):
    """A group that imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        if cmd_name not in COMMANDS:
            raise UnknownName.among("command", cmd_name, COMMANDS)
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kit")
def main() -> None:
    """From the weights of a vision model to a measured device.

    build -> eval -> bench -> report. Start with: kit build mobilenet_v2
    """


def run(arguments: list[str] | None = None) -> int:
    """Run a command line and return its exit code; see `kit.errors` for the codes."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        result: Any = main.main(arguments, prog_name="kit", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except KitError as exc:
        if os.environ.get("KIT_DEBUG"):
            traceback.print_exception(exc)
        return _say(exc.message, exc.hint, exc.exit_code)
    except click.UsageError as exc:
        where = f"`{exc.ctx.command_path} --help`" if exc.ctx else "`kit --help`"
        return _say(exc.format_message(), f"{where} lists what is possible", 2)
    except (click.Abort, KeyboardInterrupt) as exc:
        why = exc.__cause__ or exc  # click turns one into the other
        code = why.args[0] if why.args in _ENDED else INTERRUPTED
        return _say("interrupted", "nothing half-written was left behind", code)
    except BrokenPipeError:
        # Whoever read our output has gone; stop quietly, also when Python flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as exc:
        if os.environ.get("KIT_DEBUG"):
            raise
        hint = "this is a bug in kit: run again with KIT_DEBUG=1 and report the traceback"
        return _say(words(exc), hint, UNFORESEEN)


def entry() -> None:
    """Be the command `kit`; being ended by a signal cleans up as Ctrl-C does."""
    if sys.argv[1:2] and sys.argv[1] in COMMANDS and not os.environ.get("KIT_DEBUG"):
        from kit import logs

        logs.divert()
    for ending in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ending) == signal.SIG_DFL:  # nohup ignores one, and shall go on so
            signal.signal(ending, _interrupt)
    sys.exit(run())


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(128 + number)


def _say(message: str, hint: str, code: int) -> int:
    click.echo(f"kit: {message}", err=True)
    click.echo(f"hint: {hint}", err=True)
    return code
