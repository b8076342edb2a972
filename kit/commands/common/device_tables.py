"""Output of `kit bench` below its table: comparisons, minutes, operators, advice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kit import terminal

if TYPE_CHECKING:
    from rich.table import Table

    from kit.bench.paired import PairedComparison
    from kit.bench.rows import LatencyRow
    from kit.results.latency import LatencyResult, Run

WIDEST = 140  # columns; names of operators are folded beyond
OPERATORS = 12  # rows of a profile to show; the result has all


def show(results: Sequence[LatencyResult], table: Sequence[LatencyRow], sustained: bool) -> None:
    """Print comparisons, minutes and operators of the results."""
    from kit.bench import paired

    swept = [result for result in results if result.recommended]
    if not swept and not sustained and any(len(r.run.processes) > 1 for r in table):
        comparisons = paired.compare(table)
        compared = make_comparison_table(comparisons)
        if compared is not None:
            terminal.print_table(compared, WIDEST)
            terminal.echo(explain_comparisons(comparisons))
    several = len({row.bundle.hash for row in table}) > 1
    for row in table:
        if sustained:
            _minutes(row, row.name_among(several))
        if row.run.operators:
            terminal.print_table(_operators(row, row.name_among(several)), WIDEST)
    for result in swept:
        for name, best in result.recommended.items():
            cpus = "" if best.cpus == "all" else f" --cpus {best.cpus}"
            options = f"--threads {best.threads}{cpus}"
            terminal.echo(f"{result.bundle.name} {name}: best with {options}")


def make_comparison_table(comparisons: Sequence[PairedComparison]) -> Table | None:
    """Return the table of paired comparisons; None without any."""
    if not comparisons:
        return None
    several = _is_of_several(comparisons)
    shown = _table("compared process by process", "")
    for name in ("baseline", "compared", "time", "95 %", "pairs", "verdict"):
        shown.add_column(name, no_wrap=True, justify="left" if name[0] in "bcv" else "right")
    for one in comparisons:
        ends = one.interval
        shown.add_row(
            _name(one.baseline, several),
            _name(one.row, several),
            f"{one.ratio:.3f}",
            "-" if ends is None else f"{ends.low:.3f} to {ends.high:.3f}",
            str(one.pairs),
            one.verdict,
        )
    return shown


def explain_comparisons(comparisons: Sequence[PairedComparison]) -> str:
    """Return the line below the table of comparisons."""
    from kit.results.statistics import MARGIN

    return (
        "time as a share of the baseline's; no difference: all of the interval is within "
        f"±{100 * MARGIN:.0f} %{_more(comparisons, _is_of_several(comparisons))}"
    )


def _is_of_several(comparisons: Sequence[PairedComparison]) -> bool:
    return len({row.bundle.hash for c in comparisons for row in (c.row, c.baseline)}) > 1


def _more(comparisons: Sequence[PairedComparison], several: bool) -> str:
    """Return an option that helps if a verdict is not known."""
    from kit.bench.plan import MAX_PAIRS

    few = any(c.verdict == "not known" and c.pairs < MAX_PAIRS for c in comparisons)
    option = "--pairs" if several else "--repeats"  # formats of one bundle get no pairs
    return f"; not known: measure with {option} {MAX_PAIRS}" if few else ""


def _name(row: LatencyRow, several: bool) -> str:
    return f"{row.bundle.name} {row.run.name}" if several else row.label


def _minutes(row: LatencyRow, name: str) -> None:
    from kit.bench import sustained

    minutes = sustained.split_minutes(row.run.processes[0])
    shown = _table(f"{name}, minute by minute", "ms, °C, MHz of the fastest core")
    for name in ("minute", "samples", "median", "p90", "°C", "MHz", "thermal"):
        shown.add_column(name, justify="right", no_wrap=True)
    whole = [minute for minute in minutes if minute.whole]
    for m in whole:
        shown.add_row(
            str(m.number),
            str(m.count),
            f"{m.median:.2f}",
            f"{m.p90:.2f}",
            _or_dash(m.temperature_c, "{:.1f}"),
            _or_dash(m.mhz, "{:.0f}"),
            m.thermal_status or "-",
        )
    if whole:
        terminal.print_table(shown, WIDEST)
    terminal.echo(f"{name}: {sustained.describe_throttling(minutes)}")


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _operators(row: LatencyRow, name: str) -> Table:
    run: Run = row.run
    total = sum(o.total_ns for o in run.operators)
    shown = _table(
        f"{name}, operators of a profiled process",
        f"the {min(OPERATORS, len(run.operators))} slowest of {len(run.operators)}",
    )
    for name in ("operator", "type"):
        shown.add_column(name, overflow="fold")
    for name in ("calls", "ms a call", "share"):
        shown.add_column(name, justify="right", no_wrap=True)
    for one in sorted(run.operators, key=lambda o: -o.total_ns)[:OPERATORS]:
        each = one.total_ns / one.calls / 1e6
        share = one.total_ns / total if total else 0.0
        shown.add_row(one.name, one.type, str(one.calls), f"{each:.3f}", f"{100 * share:.1f} %")
    return shown


def _table(title: str, caption: str) -> Table:
    from rich import box
    from rich.table import Table

    return Table(title=title, caption=caption or None, box=box.SIMPLE_HEAD, padding=(0, 1))
