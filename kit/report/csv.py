"""Render a table as CSV, which pages offer as a download without another file."""

from __future__ import annotations

import csv
import io
import re
from urllib.parse import quote

from kit.report import text
from kit.report.tables import Table
from kit.text import make_one_line

_GROUPED = re.compile(r"\d{1,3}(,\d{3})+")
_FORMULA = ("=", "+", "-", "@")  # what spreadsheets compute, also in a name


def render(table: Table) -> str:
    """Return a table as CSV: numbers without units, and the notes in columns of their own."""
    noted = [any(line.cells[at].note for line in table.lines) for at in range(len(table.columns))]
    heads = [table.subject, "Note"]
    for column, has_notes in zip(table.columns, noted, strict=True):
        heads += [column, f"{column}: note"] if has_notes else [column]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(map(_make_plain, heads))
    for line in table.lines:
        notes = [line.head.note, *line.head.marks]
        row = [line.head.text, ", ".join(note for note in notes if note)]
        for cell, has_notes in zip(line.cells, noted, strict=True):
            row += [cell.text, cell.note] if has_notes else [cell.text]
        writer.writerow(map(_make_plain, row))
    return file.getvalue()


def make_link(table: Table) -> str:
    """Return the address of a table's CSV, which has all of it."""
    return f"data:text/csv;charset=utf-8,{quote(render(table), safe='')}"


def _make_plain(shown: str) -> str:
    """Return what a cell shows, as a number that programs read, or as text."""
    plain = make_one_line(shown).replace(text.NBSP, " ").replace(text.MINUS, "-")
    if plain == text.NONE:
        return ""
    plain = plain.replace(",", "") if _GROUPED.fullmatch(plain) else plain
    try:
        float(plain.removesuffix("×"))
    except ValueError:
        return f"'{plain}" if plain.startswith(_FORMULA) else plain
    return plain.removesuffix("×")
