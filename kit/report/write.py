"""Write a report: every file is written under a temporary name, then renamed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.errors import OutputError
from kit.files import atomic
from kit.report import html, markdown
from kit.report.page import Page, compose
from kit.results.kinds import AnyResult


@dataclass(frozen=True)
class Written:
    """The paths of a report, and its headline."""

    html: Path
    markdown: Path
    sentence: str


def write(results: Sequence[AnyResult], folder: Path) -> Written:
    """Write ``report.html``, ``report.md`` and ``plots/`` for the Markdown.

    Other files in the folder are not changed. On failure, an older report there
    stays unchanged.

    Raises:
        ResultError: there is no measurement in the results.
        OutputError: the folder cannot be written to.
    """
    page = compose(results)
    contents = _contents(page)
    try:
        atomic.write_files({folder / n: text for n, text in contents.items()}, root=folder)
    except OSError as exc:
        at_fault = exc.filename or folder
        raise OutputError(
            f"cannot write the report to {at_fault}: {exc.strerror or exc}",
            "choose a folder with -o that is writable and has space",
        ) from exc
    return Written(folder / "report.html", folder / "report.md", page.headline.sentence)


def _contents(page: Page) -> dict[str, str]:
    pictures = [*page.pictures, *(p for section in page.sections for p in section.pictures)]
    return {
        **{f"{markdown.FOLDER}/{picture.key}.svg": picture.file for picture in pictures},
        "report.md": markdown.render(page),
        "report.html": html.render(page),
    }
