"""The same file of several bundles that were measured together: which one takes longer.

Results do not tell which bundle was named first, so the faster one is the baseline.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from kit.report import cells, text
from kit.report.cells import Cell, Line
from kit.report.contexts import Setting
from kit.report.rows import Report, Row
from kit.report.tables import Table
from kit.results import rounds
from kit.results.statistics import Interval, Speedup

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
    paces = [min(rounds.compute_paces(run.processes)) for _, run in runs]
    fast, fast_run = runs[paces.index(min(paces))]
    for slow, slow_run in runs:
        if slow is not fast and rounds.is_paired(slow_run, fast_run):
            yield BundleComparison(fast, slow, rounds.compute_speedup(slow_run, fast_run))


def write_verdict(changes: Sequence[BundleComparison]) -> str:
    """Return the sentence that answers which bundle is slower."""
    slower = _list_slower(changes)
    if slower:
        return _write_change(slower[0])
    names = " and ".join(
        dict.fromkeys(row.bundle.name for one in changes for row in (one.fast, one.slow))
    )
    unknown = [one for one in changes if one.verdict == "not known"]
    if not unknown:
        return f"No file differs in speed between {names}."
    files = ", ".join(one.slow.name for one in unknown)
    return f"It is not known whether {names} differ in speed for {files}."


def write_sentences(changes: Sequence[BundleComparison]) -> Iterator[str]:
    """Yield a sentence for each other file that takes longer, and how it was compared."""
    slower = _list_slower(changes)
    yield from (_write_change(one) for one in slower[1:])
    if slower:
        yield (
            "The ratio compares the quiet moments of processes that took turns; it is not the "
            "quotient of the medians."
        )


def _list_slower(changes: Sequence[BundleComparison]) -> list[BundleComparison]:
    """Return the files that take longer in one bundle, the largest difference first."""
    slower = (one for one in changes if one.verdict == "slower")
    return sorted(slower, key=lambda one: one.times.ratio, reverse=True)


def _write_change(one: BundleComparison) -> str:
    interval = one.times.interval
    ends = (
        "" if interval is None else f" ({' to '.join(map(text.format_ratio_end, _ends(interval)))})"
    )
    return (
        f"{one.slow.name} of {one.slow.bundle.name} takes "
        f"{text.format_ratio_end(one.times.ratio)}{ends} "
        f"times as long as that of {one.fast.bundle.name}."
    )


def _ends(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high


def tabulate(report: Report) -> Table:
    """Return all comparisons, the faster bundle first."""
    columns = ("Time", "Verdict")
    lines = []
    for setting in report.settings:
        for one in find_changes(report, setting):
            interval = one.times.interval
            ends = () if interval is None else _ends(interval)
            note = " to ".join(map(text.format_ratio_end, ends)) or "too few processes"
            slower = one.verdict == "slower"
            names = f"of {one.slow.bundle.name}, against that of {one.fast.bundle.name}"
            lines.append(
                Line(
                    replace(cells.format_head(one.slow), text=one.slow.name, note=names),
                    (
                        Cell(f"{text.format_ratio_end(one.times.ratio)}×", note),
                        Cell(one.verdict, tone="bad" if slower else ""),
                    ),
                )
            )
    return Table("changes", "The same file of several bundles", columns, tuple(lines))
