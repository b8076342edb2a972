"""The glossary names modules, classes and functions that exist."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "glossary.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| term")
]
NAMES = sorted({name for row in ROWS for name in re.findall(r"`(kit\.[\w.]+)`", row[2])})


def resolve(name: str) -> object:
    """Return the object of a dotted name; fields of pydantic models are included."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            result = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            fields = getattr(result, "model_fields", {})
            result = fields[part] if part in fields else getattr(result, part)
        return result
    raise AssertionError(name)


@pytest.mark.parametrize("name", NAMES)
def test_what_the_glossary_names_exists(name):
    assert resolve(name) is not None


def test_terms_are_sorted_and_occur_once():
    terms = [row[0].casefold() for row in ROWS]
    assert terms == sorted(set(terms))
    assert len(terms) >= 40
