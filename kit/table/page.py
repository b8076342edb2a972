"""Write the table as an HTML page with the Pareto plot, and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kit import __version__
from kit.errors import OutputError
from kit.files import atomic
from kit.report import csv, text
from kit.report.cells import Cell
from kit.report.markdown import escape
from kit.report.script import load_script
from kit.report.svg import FONT
from kit.report.tables import Table
from kit.table.cells import tabulate, tabulate_other
from kit.table.front import find_edge, find_points
from kit.table.overview import Overview
from kit.table.plot import draw
from kit.text import make_one_line


def write(path: Path, content: str, option: str) -> None:
    """Write a page atomically.

    Raises:
        OutputError: it cannot be written; the hint names the option.
    """
    try:
        atomic.write_file(path, content)
    except OSError as exc:
        raise OutputError.of(exc, path, f"choose another place with {option}") from exc


def write_title(overview: Overview) -> str:
    """Return the title: what models the table is of."""
    models = dict.fromkeys(f"{r.bundle.model} {r.bundle.size} px" for r in overview.rows)
    return f"{', '.join(models)}: formats, backends and precisions"


def list_notes(overview: Overview) -> list[str]:
    """Return what has to be known to read the table."""
    lines = []
    sets = overview.pictures
    for one in sets:
        unit = "sample" if one.row.agreement is None else "picture"
        left = f", {one.left_out} left out that calibrated" if one.left_out else ""
        lines.append(
            f"Accuracy on {text.format_count(one.row.images, unit)} of {one.pictures}{left}."
        )
    if len(sets) > 1:
        lines.append("Rows on different pictures do not compare.")
    rows = [*overview.rows, *(row for _, others in overview.others for row in others)]
    timings = [row.timing for row in rows if row.timing]
    measured = {timing.measurement for timing in timings}
    if len(measured) > 1:
        lines.append(
            f"The times are of {len(measured)} measurements, which were not interleaved: "
            "small differences between them say nothing."
        )
    elif any(len(timing.run.processes) > 1 for timing in timings):
        lines.append("The times are of one measurement: processes of all files took turns.")
    if any(row.front for row in overview.rows):
        lines.append(
            "On the front: no other file is at least as accurate, fast and small and better in "
            "one of them; differences within the intervals are noise."
        )
    if any(setting.virtual for setting, _ in overview.others):
        lines.append(
            "Times of virtual and emulated devices are not those of a phone: they are not ranked."
        )
    return lines


def list_tables(overview: Overview) -> list[Table]:
    """Return the main table, then those of other settings."""
    return [
        tabulate(overview),
        *(tabulate_other(overview, setting, rows) for setting, rows in overview.others),
    ]


def render_html(overview: Overview, commands: Sequence[str], on_device: Sequence[str] = ()) -> str:
    """Return a self-contained page. All names are escaped, as they may contain markup.

    Args:
        overview: all rows.
        commands: that fill the empty cells.
        on_device: commands that measure on a phone as well.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    from kit.report import palette

    environment = Environment(
        loader=ChoiceLoader([PackageLoader("kit.table"), PackageLoader("kit.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: make_one_line(value) if type(value) is str else value,
    )
    plot, script = draw(overview), load_script()
    return environment.get_template("table.html.j2").render(
        title=write_title(overview),
        tables=list_tables(overview),
        notes=list_notes(overview),
        suggested={
            "To fill the empty cells": commands,
            "To measure on a phone as well": on_device,
        },
        plot=plot,
        has_edge=len(find_edge(find_points(overview)[0])) > 1,
        inline=None if plot is None else Markup(plot.inline),  # noqa: S704 - of ElementTree
        nothing="",
        csv=csv.make_link,
        script=Markup(script.text),  # noqa: S704 - a file of this package
        script_source=script.source,
        colours=Markup(palette.format_css(":root")),  # noqa: S704 - constants of kit.report
        font=Markup(FONT),  # noqa: S704
        version=__version__,
    )


def render_markdown(overview: Overview) -> str:
    """Return the tables as GitHub Markdown, for a README."""
    parts = []
    for number, table in enumerate(list_tables(overview)):
        caption = escape(table.caption)
        heads = (caption if number else escape(_models(overview)), *map(escape, table.columns))
        parts.append(f"| {' | '.join(heads)} |\n|:--|{'--:|' * len(table.columns)}\n")
        for line in table.lines:
            marks = "".join(f" *({escape(mark)})*" for mark in line.head.marks)
            cells = (f"**{escape(line.head.text)}**{marks}", *map(_cell, line.cells))
            parts.append(f"| {' | '.join(cells)} |\n")
        parts.append("\n")
    first = f"Times: {escape(overview.main.title)}. " if overview.main else ""
    parts.append(f"{first}{' '.join(map(escape, list_notes(overview)))}\n")
    return "".join(parts)


def _models(overview: Overview) -> str:
    return ", ".join(dict.fromkeys(f"{r.bundle.model}, {r.bundle.size} px" for r in overview.rows))


def _cell(cell: Cell) -> str:
    note = f" ({escape(cell.note)})" if cell.note else ""
    return f"{escape(cell.text)}{note}"
