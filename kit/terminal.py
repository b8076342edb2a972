"""Print to stdout and stderr; no other module does, which a test checks.

Text that is shown is often untrusted. Here control characters are replaced (`kit.text`), rich's
markup is disabled, and a closed pipe or a full disk becomes an error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from io import StringIO
from typing import TYPE_CHECKING, Any, TextIO, cast

import click

from kit.errors import OutputError, UsageError
from kit.streams import CheckedStream
from kit.text import make_one_line, make_printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.progress import Progress
    from rich.segment import Segment
    from rich.text import Text

PIPE_WIDTH = 120  # columns if the output is not a terminal


class Verbosity(Enum):
    """How much goes to stderr besides warnings and errors."""

    QUIET = "neither progress nor notes"
    NORMAL = "progress and notes"
    VERBOSE = "each step, and tracebacks"


@dataclass
class _Settings:
    verbosity: Verbosity = Verbosity.NORMAL
    log: TextIO | None = None


_settings = _Settings()


def set_verbosity(verbosity: Verbosity) -> None:
    """Set how much goes to stderr, until `reset`."""
    _settings.verbosity = verbosity


def get_verbosity() -> Verbosity:
    """Return how much goes to stderr."""
    return _settings.verbosity


def set_log(log: TextIO) -> None:
    """Copy all lines that go to stderr, and those that `Verbosity.QUIET` leaves out, to a file."""
    _settings.log = log


def has_log() -> bool:
    """Return whether the lines are copied to a file."""
    return _settings.log is not None


def reset() -> None:
    """Go back to normal verbosity without a file, which is closed."""
    log, _settings.log, _settings.verbosity = _settings.log, None, Verbosity.NORMAL
    if log is not None:
        with suppress(OSError):
            log.close()


def echo(text: object = "", err: bool = False) -> None:
    """Print text and a line end.

    Raises:
        ReaderGone: the pipe is closed.
        OutputError: it cannot be written.
    """
    stream = sys.stderr if err else sys.stdout
    if stream is not None:  # None: kit was started without it
        CheckedStream(stream).write_all(f"{make_printable(str(text))}\n")
    if err:
        log(text)


def print_note(text: object) -> None:
    """Print a line on stderr that `Verbosity.QUIET` leaves out.

    Raises:
        ReaderGone, OutputError: see `echo`.
    """
    if _settings.verbosity is Verbosity.QUIET:
        log(text)
    else:
        echo(text, err=True)


def log(text: object) -> None:
    """Write lines to the file of `set_log`, with the time; do nothing without one.

    Raises:
        OutputError: it cannot be written.
    """
    if _settings.log is None or not str(text):
        return
    now = datetime.now().astimezone().isoformat(timespec="milliseconds")
    try:
        _settings.log.writelines(
            f"{now} {line}\n" for line in make_printable(str(text)).split("\n")
        )
    except OSError as exc:
        name, _settings.log = _settings.log.name, None
        raise OutputError(
            f"cannot write to {name}: {exc.strerror or exc}", "choose another file with --log"
        ) from exc


def print_json(value: object, indent: int | None = None) -> None:
    """Print a value as JSON, in ASCII: control characters are escaped.

    Raises:
        ReaderGone, OutputError: see `echo`.
    """
    echo(json.dumps(value, indent=indent))


def print_error(message: str, hint: str) -> None:
    """Print an error on stderr: all lines of a message but the first are indented.

    Raises:
        ReaderGone, OutputError: see `echo`.
    """
    echo(format_error(message, hint), err=True)


def format_error(message: str, hint: str) -> str:
    """Return the printed form of an error; untrusted text in it cannot imitate another error."""
    first, *rest = make_printable(message).split("\n")
    inner = (line if line.startswith("  ") else f"  {line}" for line in rest)
    return "\n".join([f"kit: {first}", *inner, f"hint: {make_one_line(hint)}"])


def send_stdout_to_stderr() -> AbstractContextManager[object]:
    """Return the block in which everything that is printed goes to stderr."""
    return redirect_stdout(sys.stderr)


def ask_secret(question: str) -> str:
    """Ask the user for a password, on stderr."""
    return str(click.prompt(make_one_line(question), hide_input=True, err=True))


def confirm(question: str) -> bool:
    """Ask the user a question on stderr, and return whether the answer is yes.

    Raises:
        UsageError: stdin is no terminal, so that nobody can answer.
    """
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError(f"{make_one_line(question)} nobody can answer here", "add --yes")
    return click.confirm(make_one_line(question), err=True)


def make_console(err: bool = False, width: int | None = None) -> Console:
    """Return a rich console that interprets no markup.

    Args:
        err: for stderr.
        width: minimum number of columns; without a terminal it is at least `PIPE_WIDTH`.
    """
    console_class = _console_class()
    # `CheckedStream` forwards all other attributes to its stream.
    stream = cast(TextIO, CheckedStream((sys.stderr if err else sys.stdout) or StringIO()))

    def open_console(columns: int | None = None) -> Console:
        return console_class(
            file=stream, stderr=err, width=columns, markup=False, emoji=False, highlight=False
        )

    opened = open_console()
    minimum = max(width or 0, 0 if opened.is_terminal else PIPE_WIDTH)
    return opened if opened.width >= minimum else open_console(minimum)


def print_table(table: RenderableType, widest: int | None = None) -> None:
    """Print a table on stdout.

    Args:
        table: rich's, or anything that it can print.
        widest: up to this width cells are not cut: a narrower terminal wraps the lines.
    """
    shown = make_console()
    if widest is not None:
        whole = shown.measure(table, options=shown.options.update(width=widest))
        shown = make_console(width=whole.maximum)
    shown.print(table)


@contextmanager
def show_progress(auto_refresh: bool = True) -> Iterator[Progress]:
    """Yield progress bars on stderr, which are shown only on a terminal."""
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    shown = make_console(err=True)
    bars = Progress(
        TextColumn("{task.description}", style="progress.description", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=shown,
        transient=True,
        auto_refresh=auto_refresh,
        disable=not shown.is_terminal,
    )
    with bars:
        yield bars


def _console_class() -> type[Console]:
    from rich.console import Console
    from rich.segment import Segment

    class Safe(Console):
        """Replaces control characters when text is measured, so that columns fit, and printed."""

        def render_str(self, text: str, **options: Any) -> Text:  # Any: rich's, passed through
            return super().render_str(make_printable(text), **options)

        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                if segment.control or segment.text.isprintable():
                    yield segment
                else:
                    yield Segment(make_printable(segment.text), segment.style)

    return Safe
