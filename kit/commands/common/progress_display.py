"""Progress on stderr: a spinner or bar on terminals, plain lines for pipes and logs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kit import terminal

if TYPE_CHECKING:
    from rich.progress import TaskID

    from kit.progress import Progress, ReportStatus

_LINE_SECONDS = 5.0  # between two lines without a terminal


@contextmanager
def stages() -> Iterator[ReportStatus]:
    """Yield a function to call with the name of each stage as it begins."""
    from rich.text import Text

    console = terminal.console(err=True)
    began = time.monotonic()

    def line(stage: str) -> None:
        text = f"{time.monotonic() - began:6.1f} s  {stage}"
        console.print(text, style="dim")

    if not console.is_terminal:
        yield line
        return
    with console.status("starting") as status:

        def show(stage: str) -> None:
            line(stage)
            status.update(Text(stage))

        yield show


@contextmanager
def steps(auto_refresh: bool = True) -> Iterator[Progress]:
    """Yield a function to call with steps done, steps in all, and the current step.

    Args:
        auto_refresh: draw the bar in the background, which would disturb measurements.
    """
    with steps_of([""], auto_refresh) as updates:
        yield updates[""]


@contextmanager
def steps_of(names: Sequence[str], auto_refresh: bool = True) -> Iterator[dict[str, Progress]]:
    """Yield such a function for each name, each with its own bar."""
    if not terminal.console(err=True).is_terminal:
        yield {name: _Lines(name) for name in names}
        return
    with terminal.progress(auto_refresh) as progress:

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
        if self._printed is not None and now - self._printed < _LINE_SECONDS and done < total:
            return
        self._printed = now
        left = self._left(done, total, now)
        terminal.echo(
            f"{now - self._began:6.1f} s  {self._name}{done}/{total}  {what}{left}", err=True
        )

    def _left(self, done: int, total: int, now: float) -> str:
        if self._first is None or done <= self._first[0] or done >= total:
            return ""
        seconds = (now - self._first[1]) * (total - done) / (done - self._first[0])
        return f", about {_duration(seconds)} left"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
