"""Output of `kit bench`: the table on stdout, notices and context as lines for stderr."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from kit import terminal
from kit.commands.common import advice

if TYPE_CHECKING:
    from kit.bench.rows import LatencyRow

_WIDEST = 200  # columns


def print_rows(rows: Sequence[LatencyRow]) -> None:
    """Print the table; times are milliseconds, sizes and memory 10^6 bytes."""
    from rich import box
    from rich.table import Table

    from kit.bench.rows import compare_with_reference

    shown = Table(title=_title(rows), box=box.SIMPLE_HEAD, padding=0)
    several = len({row.bundle.hash for row in rows}) > 1
    swept = len({_cores(row) for row in rows}) > 1
    first = ("bundle", "file") if several else ("file",)
    for name in (*first, "quantize", *(("threads", "cores") if swept else ())):
        shown.add_column(name, no_wrap=True)
    for name in ("size", "median", "±", "p90", "p99", "load", "first", "memory", "speed-up"):
        shown.add_column(name, justify="right", no_wrap=True)
    for row, method in zip(rows, _methods(rows), strict=True):
        speedup = compare_with_reference(row, rows)
        shown.add_row(
            *((row.bundle.name,) if several else ()),
            row.run.name,
            method,
            *(_cores(row) if swept else ()),
            "-" if row.size is None else f"{row.size / 1e6:.2f}",
            f"{_number(row.median.median)}{' ' if row.stable else '!'}",
            _interval(row),
            *(_number(value) for value in (row.p90, row.p99, row.load, row.first)),
            "-" if row.memory is None else f"+{row.memory / 1e6:.0f}",
            "-" if speedup is None else f"{speedup.ratio:.2f}×{'' if speedup.clear else '?'}",
        )
    terminal.print_table(shown, _WIDEST)
    for line in _legend(rows, any(compare_with_reference(row, rows) for row in rows)):
        terminal.echo(line)


def _legend(rows: Sequence[LatencyRow], compared: bool) -> Iterator[str]:
    """Yield what the columns mean, of those that this table fills."""
    parts = ["times in ms, sizes in MB"]
    if any(row.median.interval is not None for row in rows):
        parts.append("±: half the 95 % interval of the median over processes")
    if not all(row.stable for row in rows):
        parts.append("!: see the warnings")
    yield "; ".join(parts)
    parts = []
    if any(row.memory is not None for row in rows):
        parts.append("memory: above the empty runtime's")
    if compared:
        parts.append("speed-up: against eager fp32 PyTorch (reference), ?: may be chance")
    if parts:
        yield "; ".join(parts)


def _title(rows: Sequence[LatencyRow]) -> str:
    run = rows[0].run
    models = dict.fromkeys(f"{row.bundle.model} {row.bundle.size} px" for row in rows)
    counts = sorted({row.run.plan.threads for row in rows})
    threads = ", ".join(map(str, counts)) + " thread" + "s" * (counts != [1])
    cpus = f" on cores {run.plan.cpus}" if run.plan.cpus and len(counts) == 1 else ""
    runners = " and ".join(dict.fromkeys(row.run.via for row in rows))
    return f"{', '.join(models)}, {threads}{cpus}, {run.device.name}, {runners} runner"


def _cores(row: LatencyRow) -> tuple[str, str]:
    """Return the threads, and the requested mask of cores."""
    return str(row.run.plan.threads), row.run.plan.cpus or "all"


def _methods(rows: Sequence[LatencyRow]) -> list[str]:
    """Return the quantization of each row, with the granularity if rows differ in it."""
    methods = [(row.run.quantize, row.bundle.granularity) for row in rows]
    several = len({granularity for method, granularity in methods if method != "none"}) > 1
    return [
        f"{method} {granularity}" if several and method != "none" else method
        for method, granularity in methods
    ]


def _interval(row: LatencyRow) -> str:
    interval = row.median.interval
    return "-" if interval is None else _number((interval.high - interval.low) / 2)


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}" if value >= 100 else f"{value:.2f}"


def describe_context(rows: Sequence[LatencyRow]) -> Iterator[str]:
    """Return device, context and plan of the measurement, in two lines."""
    run = rows[0].run
    where = run.context
    versions: dict[str, str] = {}
    for row in rows:
        versions.update(row.run.context.versions)
    cores = f"{where.cores} core{'s' * (where.cores != 1)}"
    others = "" if where.others is None else f" ({where.others:.2f} cores busy with others)"
    yield (
        f"{where.cpu}, {cores}, {where.machine}, {where.os}, "
        f"governor {where.governor or 'not known'}, "
        f"load {where.load_before:.2f} to {where.load_after:.2f}{others}"
    )
    tools = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    processes = [row.run.processes for row in rows]
    repeats = _range(map(len, processes))
    samples = _range(len(p.samples_ns) for each in processes for p in each)
    yield f"{run.plan.name} plan, {repeats} × {samples} samples; {tools}"


def _range(counts: Iterable[int]) -> str:
    """Return ``3``, or ``3 to 6`` if they differ."""
    ordered = sorted(set(counts))
    return " to ".join(map(str, ordered if len(ordered) < 2 else (ordered[0], ordered[-1])))


def list_doubts(rows: Sequence[LatencyRow]) -> Iterator[str]:
    """Return int8 rows that are not faster, and every notice once, with its rows."""
    from kit.bench.rows import find_slower_than_float

    yield from advice.write_notices(((n, "") for n in find_slower_than_float(rows)), 1)
    several = len({row.bundle.hash for row in rows}) > 1
    named = [(notice, row.name_among(several)) for row in rows for notice in row.run.notices]
    yield from advice.write_notices(named, len(rows))
