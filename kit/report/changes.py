"""The same file of several bundles that were measured together: which one takes longer.

Results do not tell which bundle was named first, so the faster one is the baseline.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from kit.report import cells, text
from kit.report.cells import Cell, Line
from kit.report.contexts import Setting
from kit.report.rows import Report, Row
from kit.report.tables import Table
from kit.results import rounds
from kit.results.statistics import Speedup

FLOOR = 0.01  # as in `kit bench`: smaller differences do not matter to users


@dataclass(frozen=True)
class BundleComparison:
    """One file of two bundles.

    Attributes:
        times: how many times the time of `fast` the file of `slow` takes.
    """

    fast: Row
    slow: Row
    times: Speedup

    @property
    def verdict(self) -> str:
        """Return ``slower``, ``no difference`` or ``not known``."""
        if self.times.clear and self.times.ratio - 1 >= FLOOR:
            return "slower"
        near = self.times.interval is not None and self.times.interval.near_one
        return "no difference" if near else "not known"


def find_changes(report: Report, setting: Setting) -> list[BundleComparison]:
    """Return the comparisons of a setting, in the order of its rows; none of virtual devices."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in report.rows_in(setting) if not setting.virtual else ():
        if row.timing and not row.reference:
            groups.setdefault((row.timing.measurement, row.key.name), []).append(row)
    return [change for rows in groups.values() for change in _compare(rows)]


def _compare(rows: list[Row]) -> Iterator[BundleComparison]:
    runs = [(row, row.timing.run) for row in rows if row.timing]
    if len({row.bundle.hash for row in rows}) < 2 or len(runs) < 2:
        return
    paces = [min(rounds.paces(run.processes)) for _, run in runs]
    fast, fast_run = runs[paces.index(min(paces))]
    for slow, slow_run in runs:
        if slow is not fast and rounds.is_paired(slow_run, fast_run):
            yield BundleComparison(fast, slow, rounds.speedup(slow_run, fast_run))


def write_sentences(changes: list[BundleComparison]) -> Iterator[str]:
    """Return a sentence for each file that takes longer in one bundle."""
    for one in changes:
        if one.verdict == "slower":
            yield (
                f"{one.slow.name} of {one.slow.bundle.name} takes {text.precise(one.times.ratio)} "
                f"times the time of that of {one.fast.bundle.name}."
            )


def tabulate(report: Report) -> Table:
    """Return all comparisons, the faster bundle first."""
    columns = ("Time", "Verdict")
    lines = []
    for setting in report.settings:
        for one in find_changes(report, setting):
            interval = one.times.interval
            ends = [] if interval is None else [interval.low, interval.high]
            note = " to ".join(map(text.precise, ends)) or "too few processes"
            slower = one.verdict == "slower"
            names = f"of {one.slow.bundle.name}, against that of {one.fast.bundle.name}"
            lines.append(
                Line(
                    replace(cells.head(one.slow), text=one.slow.name, note=names),
                    (
                        Cell(f"{text.precise(one.times.ratio)}×", note),
                        Cell(one.verdict, tone="bad" if slower else ""),
                    ),
                )
            )
    return Table("changes", "The same file of several bundles", columns, tuple(lines))
