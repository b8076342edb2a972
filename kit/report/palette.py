"""Colours by meaning, for light and dark themes, of plots and pages.

Matplotlib cannot write CSS variables, so it gets a placeholder colour per name,
which `kit.report.svg` replaces. Contrast (WCAG 2.2): text at least 4.5 to 1 on `paper`
and `card`, lines and marks that carry meaning at least 3 to 1; `tests/test_report.py`
computes it.
"""

from __future__ import annotations

LIGHT = {
    "paper": "#f6f6f2",
    "card": "#ffffff",
    "ink": "#15212b",
    "muted": "#55616c",
    "rule": "#d8dbd6",
    "int8": "#00705f",
    "fp32": "#6f7a86",
    "eager": "#a2571a",
    "good": "#00705f",
    "bad": "#b3261e",
    "warn": "#7a4d00",
    "warn-paper": "#fff3d4",
    "series1": "#00705f",
    "series2": "#2b5fb4",
    "series3": "#a2571a",
    "series4": "#7a3e9d",
    "series5": "#b3261e",
    "series6": "#5c6b00",
    "series7": "#55616c",
}
DARK = {
    "paper": "#10161b",
    "card": "#182027",
    "ink": "#e7ebee",
    "muted": "#a3aeb8",
    "rule": "#323d47",
    "int8": "#46c9b0",
    "fp32": "#94a0ac",
    "eager": "#e0a060",
    "good": "#46c9b0",
    "bad": "#ff8a7a",
    "warn": "#f4cf83",
    "warn-paper": "#33290f",
    "series1": "#46c9b0",
    "series2": "#7fb0ff",
    "series3": "#e0a060",
    "series4": "#c99af0",
    "series5": "#ff8a7a",
    "series6": "#b9cc5a",
    "series7": "#a3aeb8",
}
SERIES = tuple(name for name in LIGHT if name.startswith("series"))  # of things without an order
PLACEHOLDER_COLOURS = {name: f"#0100{index:02x}" for index, name in enumerate(LIGHT)}


def format_css(selector: str) -> str:
    """Return the variables of both palettes on a selector; paper is printed light."""
    return (
        f"{selector}{{{_variables(LIGHT)}}}"
        f"@media screen and (prefers-color-scheme:dark){{{selector}{{{_variables(DARK)}}}}}"
    )


def _variables(palette: dict[str, str]) -> str:
    return ";".join(f"--{name}:{value}" for name, value in palette.items())
