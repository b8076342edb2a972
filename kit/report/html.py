"""Render a self-contained HTML page, which loads nothing: its CSS, SVG and script are inside."""

from __future__ import annotations

import re
from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from kit import __version__
from kit.report import csv, palette, text
from kit.report.notices import Remark
from kit.report.page import Page, write_caption
from kit.report.script import load_script
from kit.report.svg import FONT, Drawing
from kit.text import make_one_line

_SHOWN_NOTICES = 3  # the most serious; of the others the page shows the titles
_OPTION = re.compile(r"--[a-z][a-z-]*")


def render(page: Page) -> str:
    """Return the page as HTML. All strings of results are escaped, as they may contain markup."""
    environment = Environment(
        loader=PackageLoader("kit.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_presentable,
    )
    environment.filters["unbroken"] = _unbroken
    template = environment.get_template("report.html.j2")
    script = load_script()
    return template.render(
        page=page,
        caption=write_caption,
        inline=_inline,
        shown_notices=page.notices[:_SHOWN_NOTICES],
        folded_notices=_group_by_title(page.notices[_SHOWN_NOTICES:]),
        csv=csv.make_link,
        script=Markup(script.text),  # noqa: S704 - a file of this package
        script_source=script.source,
        colours=Markup(palette.format_css(":root")),  # noqa: S704 - constants of this package
        nothing=text.NONE,
        font=Markup(FONT),  # noqa: S704
        version=__version__,
    )


def _group_by_title(notices: Sequence[Remark]) -> dict[str, list[str]]:
    """Return the texts of notices by their title, in the order of the first."""
    groups: dict[str, list[str]] = {}
    for notice in notices:
        groups.setdefault(notice.title, []).append(notice.text)
    return groups


def _presentable(value: object) -> object:
    return make_one_line(value) if type(value) is str else value


def _unbroken(words: str) -> Markup:
    """Prevent line breaks in options, which browsers would insert after hyphens."""
    escaped = str(escape(make_one_line(words)))
    return Markup(_OPTION.sub(r'<span class="option">\g<0></span>', escaped))  # noqa: S704


def _inline(picture: Drawing) -> Markup:
    return Markup(picture.inline)  # noqa: S704 - serialized by ElementTree, which escapes
