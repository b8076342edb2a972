"""Notices on the command line: their text, and options that help."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from kit import terminal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kit.notices import Notice

Subject = TypeVar("Subject")

# By code; a template with the names of the code's values, as in `kit.notices`.
TYPE = {
    "machine.too-many-threads": "--threads {cores}",
    "machine.slow-governor": "sudo cpupower frequency-set -g performance",
    "device.warm": "raise --cool-wait",
    "device.left": "kit clean",
    "cores.not-given": "--cpus {mask}",
    "samples.faster": "--official",
    "samples.few-for-p99": "leave --quick out",
    "samples.few": "leave --quick out",
    "samples.more": "--official",
    "processes.few": "leave --quick and --sustained out",
    "processes.more": "--repeats {processes}",
    "app.format-missing": "kit app build",
    "calibration.photos": "--calibrate DIR_OR_ZIP",
    "int8.inaccurate": "kit eval BUNDLE; kit analyze BUNDLE; kit build --keep-float 2",
    "float.kept": "--keep-float none",
    "labels.order": "kit build --labels",
    "weights.several": "--weights FILE:KEY",
}


def write_notices(notices: Iterable[tuple[Notice, str]], rows: int) -> Iterator[str]:
    """Return a line for each notice, with all the rows it is about.

    `--quiet` leaves out notes and hints.

    Args:
        notices: each with the name of its row.
        rows: number of rows; a notice about all of them names none.
    """
    from kit.notices import merge_notices

    quiet = terminal.get_verbosity() is terminal.Verbosity.QUIET
    for group, names in merge_notices(notices):
        if quiet and group[0].severity in ("note", "hint"):
            continue
        named = ", ".join(dict.fromkeys(filter(None, names)))
        where = f"{named}: " if named and len(names) != rows else ""
        yield f"{group[0].severity}: {where}{write_notice(group)}"


def write_notice(group: Sequence[Notice]) -> str:
    """Return the text of a notice, or of several similar ones, with options that help."""
    from kit.notices import fill, render

    advice = TYPE.get(group[0].code)
    return render(group) + (f" ({fill(advice, group)})" if advice else "")


def document_notices() -> str:
    """Return `docs/notices.md`."""
    from kit.notice_catalogue import CATALOGUE
    from kit.notice_values import SEVERITIES

    lines = [
        "# Notices",
        "",
        "What should be known before a number is believed. A result file holds a notice as data:",
        "a code, a severity and values; `--json` adds the text. Programs should look at the code:",
        "what it means, and the names and types of its values, never change. Notices of several",
        "rows that differ in a number only are shown as one, with the range of all.",
        "",
        '    {"code": "processes.more", "severity": "hint", "values": {"processes": 7},',
        '     "text": "7 processes with the spread of these would resolve the median: …"}',
        "",
        "This page is written from the catalogue (`kit/notice_catalogue.py`) by `scripts/notices`.",
        "",
        "| severity | meaning |",
        "|---|---|",
        *(f"| {severity} | {meaning} |" for severity, meaning in SEVERITIES.items()),
        "",
        "| code | severity | text | what helps | on the command line | values |",
        "|---|---|---|---|---|---|",
    ]
    for code, entry in CATALOGUE.items():
        advice = f"`{TYPE[code]}`" if code in TYPE else ""
        values = ", ".join(f"`{name}`: {kind.name}" for name, kind in entry.values.items())
        cells = (f"`{code}`", entry.severity, entry.text, entry.hint, advice, values)
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "`text` is a sentence of a result before schema 6, or of a bundle before schema 4: these",
        "stored no codes.",
    ]
    return "\n".join(lines) + "\n"
