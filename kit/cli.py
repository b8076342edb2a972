"""Command line: runs a command, and turns errors into text and an exit code.

Commands are listed here with their summaries and imported when they are called, so that
`kit --help` imports nothing but click. No other module exits or prints errors.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from types import FrameType
from typing import Any

import click

from kit import __version__, streams, terminal
from kit.commands.common.groups import CommandGroup
from kit.commands.common.output_options import add_output_options, make_options
from kit.errors import (
    INTERRUPTED,
    READER_GONE,
    UNFORESEEN,
    KitError,
    OutputError,
    UsageError,
)

COMMANDS = {
    "run": ("kit.commands.run", "Build, evaluate, verify, measure and report in one go."),
    "build": ("kit.commands.build", "Build, quantize, lower and verify a model."),
    "show": ("kit.commands.show", "Structure of a bundle's model files: graphs, nodes, code."),
    "eval": ("kit.commands.eval", "Accuracy of a bundle's formats on a set of pictures."),
    "predict": ("kit.commands.predict", "Answers to your own pictures, format by format."),
    "verify": ("kit.commands.verify", "Answers of a bundle's formats on other processors."),
    "bench": ("kit.commands.bench", "Latency of bundles' formats, side by side: which is faster?"),
    "doctor": ("kit.commands.doctor", "Will it run there? Machine, bundle and device, checked."),
    "devices": ("kit.commands.devices", "Phones and emulators: state, hardware, temperature."),
    "report": ("kit.commands.report", "Turn result files into Markdown and an HTML page."),
    "table": ("kit.commands.table", "Size, accuracy and speed of every file of bundles."),
    "analyze": ("kit.commands.analyze", "Where int8 hurts a model, and the cheapest repair."),
    "cost": ("kit.commands.cost", "Multiply-adds and parameters of a model, by layer type."),
    "runner": ("kit.commands.runner", "Native programs that run models on devices."),
    "app": ("kit.commands.app", "The Android app: build, test, install, measure through it."),
    "clean": ("kit.commands.clean", "Remove everything that kit put on a device."),
    "cache": ("kit.commands.cache", "What kit keeps on this machine: sizes, removal."),
    "config": ("kit.commands.config", "Defaults in kit.toml, and where each comes from."),
    "completion": ("kit.commands.completion", "Tab in bash, zsh and fish."),
    "list": ("kit.commands.list", "Models, quantization methods and formats that can be named."),
}


# Libraries read these when they are imported. Threads that spin while they wait slow down a busy
# machine; torch's C++ deprecation warnings are for kit's developers, not its users.
ENVIRONMENT = {"OMP_WAIT_POLICY": "passive", "TORCH_CPP_LOG_LEVEL": "ERROR"}


# Arguments of the KeyboardInterrupt that a signal raises.
_SIGNALLED = [(128 + number,) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]


# Words that people try, and the command that does it.
ALIASES = {
    **dict.fromkeys(("quantize", "quantise", "convert", "export", "compile", "lower"), "build"),
    **dict.fromkeys(
        ("benchmark", "measure", "latency", "time", "profile", "compare", "diff"), "bench"
    ),
    **dict.fromkeys(("accuracy", "evaluate", "val", "validate"), "eval"),
    **dict.fromkeys(("infer", "classify", "inference"), "predict"),
    **dict.fromkeys(("check", "diagnose", "info", "env", "setup"), "doctor"),
    **dict.fromkeys(("inspect", "view", "summary"), "show"),
    **dict.fromkeys(("device", "adb"), "devices"),
    **dict.fromkeys(("flops", "macs", "params"), "cost"),
    **dict.fromkeys(("models", "formats", "ls"), "list"),
}


class LazyGroup(CommandGroup):
    """A group that imports a command only when it is used."""

    aliases = ALIASES

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        if not isinstance(command, click.Group):  # whose own commands have them
            add_output_options(command)
        return command

    def list_summaries(self, ctx: click.Context) -> Iterator[tuple[str, str]]:
        """Yield each command and its summary without importing any."""
        yield from ((name, summary) for name, (_, summary) in COMMANDS.items())


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kit")
def main() -> None:
    """From the weights of a vision model to a measured device.

    build -> eval -> bench -> report. Start with: kit build mobilenet_v2

    `kit help COMMAND` shows the options of a command.
    """


main.params[:0] = make_options()


def run(arguments: list[str] | None = None) -> int:
    """Run a command line and return its exit code; see `kit.errors` for the codes."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        try:
            return _run(arguments)
        finally:
            terminal.reset()
            streams.flush_streams()
    except streams.ReaderGone:
        streams.abandon_streams()
        return READER_GONE
    except OutputError as exc:  # of stdout or stderr
        code = _print_last(exc)
        streams.abandon_streams()
        return code


def _run(arguments: list[str] | None) -> int:
    try:
        return _invoke(sys.argv[1:] if arguments is None else arguments)
    except streams.ReaderGone:
        raise
    except KitError as exc:
        _print_traceback(exc)
        terminal.print_error(exc.message, exc.hint)
        return exc.exit_code
    except click.UsageError as exc:
        from kit.commands.common import option_words

        if (explained := option_words.explain(exc)) is not None:
            terminal.print_error(explained.message, explained.hint)
            return explained.exit_code
        # click knows no context where an option lacks its argument.
        path = exc.ctx.command_path if exc.ctx else " ".join(["kit", *_name_command(arguments)])
        terminal.print_error(exc.format_message(), f"`{path} --help` lists what is possible")
        return UsageError.exit_code
    except (click.Abort, KeyboardInterrupt) as exc:
        terminal.echo(err=True)  # after the terminal's ^C
        terminal.print_error("interrupted", "nothing half-written was left behind")
        # If code in a string was interrupted, as torch's imports execute it, CPython records that
        # and ends by SIGINT instead of this exit code. The next executed string resets the record.
        exec("")  # noqa: S102
        return exc.args[0] if exc.args in _SIGNALLED else INTERRUPTED
    except Exception as exc:  # noqa: BLE001 - any other exception is a bug, and reported as one
        _print_traceback(exc)
        terminal.print_error(
            f"{type(exc).__name__}: {exc}",
            "this is a bug in kit: run again with KIT_DEBUG=1 and report the traceback",
        )
        return UNFORESEEN


def _name_command(arguments: list[str] | None) -> list[str]:
    first = (sys.argv[1:] if arguments is None else arguments)[:1]
    return [name for name in first if name in COMMANDS]


def _read_defaults() -> dict[str, Any] | None:
    """Return the defaults of options that a file here sets; see `kit.commands.common.settings`."""
    if not any(os.path.lexists(name) for name in ("kit.toml", "pyproject.toml")):
        return None
    from kit.commands.common.settings import read_settings

    settings = read_settings(main)
    return None if settings is None else settings.map_defaults()


def _invoke(arguments: list[str]) -> int:
    """Run a command and return its exit code.

    click's own `main.main` would end the process if the reader of the output has gone.
    """
    try:
        with main.make_context("kit", list(arguments), default_map=_read_defaults()) as context:
            code = main.invoke(context)
    except click.exceptions.Exit as exc:  # of --help and --version
        return exc.exit_code
    except OSError as exc:
        if traceback.extract_tb(exc.__traceback__)[-1].filename != click.utils.__file__:
            raise
        raise streams.map_failure(exc) from exc  # raised while click printed
    return code if isinstance(code, int) else 0


def _print_traceback(exc: BaseException) -> None:
    """Print it with --verbose or KIT_DEBUG, and write it to the file of --log."""
    verbose = terminal.get_verbosity() is terminal.Verbosity.VERBOSE
    if verbose or os.environ.get("KIT_DEBUG") or terminal.has_log():
        text = "".join(traceback.format_exception(exc)).rstrip("\n")
        if verbose or os.environ.get("KIT_DEBUG"):
            terminal.echo(text, err=True)
        else:
            terminal.log(text)


def _print_last(exc: OutputError) -> int:
    """Print that stdout cannot be written to, unless stderr cannot either; return the exit code."""
    with suppress(OutputError, streams.ReaderGone):
        terminal.print_error(exc.message, exc.hint)
    return exc.exit_code


def run_command() -> None:
    """Run the command `kit`. SIGTERM and SIGHUP clean up as Ctrl-C does."""
    if "_KIT_COMPLETE" in os.environ:  # the shell asks after Tab
        from kit.commands.common import completion

        with suppress(OutputError, streams.ReaderGone):  # nobody could read an error
            terminal.echo(completion.complete(main, os.environ[completion.VARIABLE]))
        return
    if not COMMANDS.keys().isdisjoint(sys.argv[1:]) and not os.environ.get("KIT_DEBUG"):
        from kit import logs

        logs.divert()
    for ending in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ending) == signal.SIG_DFL:  # nohup ignores SIGHUP: keep it ignored
            signal.signal(ending, _interrupt)
    code = run()
    if "torch" in sys.modules:
        from kit.garbage import skip_last_collection

        skip_last_collection()
    sys.exit(code)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(128 + number)
