"""Progress on stderr: a spinner or bar on terminals, plain lines for pipes and logs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from kit import streams, terminal
from kit.errors import KitError

if TYPE_CHECKING:
    from rich.progress import TaskID

    from kit.progress import Progress, ReportStatus

_LINE_SECONDS = 5.0  # between two lines without a terminal
_SILENT_SECONDS = 30.0  # without a terminal, until a line says that a stage goes on


@contextmanager
def show_stages() -> Iterator[ReportStatus]:
    """Yield a function to call with the name of each stage as it begins."""
    if not _is_drawn():
        with _StageLines() as lines:
            yield lines
        return
    from rich.text import Text

    console = terminal.make_console(err=True)
    began = time.monotonic()
    with console.status("starting") as status:

        def show(stage: str) -> None:
            line = _stage_line(began, stage)
            console.print(line, style="dim")
            terminal.log(line)
            status.update(Text(stage))

        yield show


def _is_drawn() -> bool:
    """Return whether there is a terminal for spinners and bars."""
    quiet = terminal.get_verbosity() is terminal.Verbosity.QUIET
    return not quiet and terminal.make_console(err=True).is_terminal


def _stage_line(began: float, stage: str) -> str:
    return f"{time.monotonic() - began:6.1f} s  {stage}"


class _StageLines:
    """Prints a line for each stage, and another now and then while one takes long."""

    def __init__(self) -> None:
        self._began = self._changed = time.monotonic()
        self._stage = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._repeat, daemon=True)

    def __call__(self, stage: str) -> None:
        self._stage, self._changed = stage, time.monotonic()
        terminal.print_note(_stage_line(self._began, stage))

    def __enter__(self) -> _StageLines:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _repeat(self) -> None:
        while not self._ended.wait(_SILENT_SECONDS / 10):
            now = time.monotonic()
            if self._stage and now - self._changed >= _SILENT_SECONDS:
                self._changed = now
                with suppress(KitError, streams.ReaderGone):  # the next stage raises it
                    terminal.print_note(_stage_line(self._began, f"still {self._stage}"))


@contextmanager
def show_steps(auto_refresh: bool = True) -> Iterator[Progress]:
    """Yield a function to call with steps done, steps in all, and the current step.

    Args:
        auto_refresh: draw the bar in the background, which would disturb measurements.
    """
    with show_steps_of([""], auto_refresh) as updates:
        yield updates[""]


@contextmanager
def show_steps_of(names: Sequence[str], auto_refresh: bool = True) -> Iterator[dict[str, Progress]]:
    """Yield such a function for each name, each with its own bar."""
    if not _is_drawn():
        yield {name: _Lines(name) for name in names}
        return
    with terminal.show_progress(auto_refresh) as progress:

        def updating(name: str, task: TaskID) -> Progress:
            return lambda done, total, what: progress.update(
                task,
                completed=done,
                total=total,
                description=f"{name}: {what}" if name else what,
                refresh=True,
            )

        yield {name: updating(name, progress.add_task(name, total=None)) for name in names}


class _Lines:
    """Prints a line every few seconds, with the remaining time if steps take equally long."""

    def __init__(self, name: str) -> None:
        self._name = f"{name}: " if name else ""
        self._began = time.monotonic()
        self._printed: float | None = None
        self._first: tuple[int, float] | None = None  # steps done and time at the first one

    def __call__(self, done: int, total: int, what: str) -> None:
        now = time.monotonic()
        if self._first is None and total > 1:
            self._first = done, now
        every = 0 if terminal.get_verbosity() is terminal.Verbosity.VERBOSE else _LINE_SECONDS
        if self._printed is not None and now - self._printed < every and done < total:
            return
        self._printed = now
        left = self._left(done, total, now)
        terminal.print_note(f"{now - self._began:6.1f} s  {self._name}{done}/{total}  {what}{left}")

    def _left(self, done: int, total: int, now: float) -> str:
        if self._first is None or done <= self._first[0] or done >= total:
            return ""
        seconds = (now - self._first[1]) * (total - done) / (done - self._first[0])
        return f", about {_duration(seconds)} left"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
