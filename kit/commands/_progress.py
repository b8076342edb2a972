"""Progress on stderr: a spinner for people, plain lines for logs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kit import terminal


@contextmanager
def stages() -> Iterator[Callable[[str], None]]:
    """Give a function to call with the name of each stage as it begins."""
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
