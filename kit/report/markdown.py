"""Render a report as GitHub Markdown, with plots as separate SVG files."""

from __future__ import annotations

import re

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from kit import __version__
from kit.report.page import Page, write_caption
from kit.text import make_one_line

FOLDER = "plots"

_SPECIAL = re.compile(r"[\\`*\[\]<>|~&$#]|(?<![^\W_])_|_(?![^\W_])")


def render(page: Page) -> str:
    """Return the page as Markdown. All strings of results are escaped."""
    environment = Environment(
        loader=PackageLoader("kit.report"),
        autoescape=True,  # so that macros return Markup, which is not escaped twice
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_finalize,
    )
    template = environment.get_template("report.md.j2")
    return template.render(page=page, caption=write_caption, folder=FOLDER, version=__version__)


def escape(value: str) -> str:
    """Escape text for Markdown, in one line, also inside a table.

    Underscores between letters are not escaped, as they are no emphasis there.
    """
    return _SPECIAL.sub(lambda match: f"\\{match[0]}", make_one_line(value))


def _finalize(value: object) -> object:
    """Escape for Markdown instead of HTML, as Markup, which Jinja does not escape again."""
    return value if isinstance(value, Markup) else Markup(escape(str(value)))  # noqa: S704
