"""Convert results to rows of the table and of `--json`: pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kit import notices
from kit.artifact_key import REFERENCE
from kit.bench import gates, stability
from kit.notice_values import Value
from kit.notices import Notice, make_notice
from kit.results import rounds, statistics
from kit.results.context import BundleRef, Identity
from kit.results.latency import LatencyResult, Run
from kit.results.statistics import Estimate, Speedup


@dataclass(frozen=True)
class LatencyRow:
    """One file of one bundle, in milliseconds and bytes.

    Attributes:
        identity: of the measurement; None in results before schema 6.
        size: of the model file; None for the reference.
        median: over the processes, with its interval.
        load: median over the processes, as is `first`.
        memory: peak minus what the runtime used before it loaded the model.
        stable: see `kit.bench.stability`.
    """

    bundle: BundleRef
    identity: Identity | None
    run: Run
    size: int | None
    median: Estimate
    p90: float
    p99: float
    load: float
    first: float
    memory: int | None
    stable: bool

    @property
    def label(self) -> str:
        """Name for sentences: ``lite-int8 static``; float files have no method in it."""
        method = "" if self.run.quantize == "none" else f" {self.run.quantize}"
        return f"{self.run.name}{method}"

    def name_among(self, several: bool) -> str:
        """Return the label, with the bundle's name in front of it among several bundles."""
        return f"{self.bundle.name} {self.label}" if several else self.label


def list_rows(results: Sequence[LatencyResult]) -> list[LatencyRow]:
    """Return the rows of all results, in their order."""
    return [_row(result, run) for result in results for run in result.runs]


def _row(result: LatencyResult, run: Run) -> LatencyRow:
    processes = [p.samples_ns for p in run.processes]
    samples = [ns for process in processes for ns in process]
    sizes = {a.name: a.size for a in result.bundle.artifacts}
    measured = run.peak_rss is not None and run.base_rss is not None
    return LatencyRow(
        bundle=result.bundle,
        identity=result.identity,
        run=run,
        size=sizes.get(run.name),
        median=rounds.estimate(run),
        p90=statistics.compute_percentile_ms(samples, 90),
        p99=statistics.compute_percentile_ms(samples, 99),
        load=statistics.compute_median_ms([p.load_ns for p in run.processes]),
        first=statistics.compute_median_ms([p.first_ns for p in run.processes]),
        memory=max(0, (run.peak_rss or 0) - (run.base_rss or 0)) if measured else None,
        stable=stability.assess(processes).stable,
    )


def as_json(row: LatencyRow) -> dict[str, object]:
    """Return the object of a row for `kit bench --json`."""
    run, interval = row.run, row.median.interval
    return {
        "bundle": row.bundle.name,
        "artifact": run.name,
        "format": run.format,
        "backend": run.backend,
        "precision": run.precision,
        "quantize": run.quantize,
        "artifact_sha256": run.artifact_sha256,
        "runtime": run.runtime,
        "measurement": row.identity.measurement if row.identity else None,
        "device": run.device.name,
        "device_kind": run.device.kind,
        "serial": run.device.serial,
        "via": run.via,
        "cpus": run.cpus,
        "resolved": run.resolved,
        "threads": run.plan.threads,
        "threads_obeyed": run.threads,
        "cores_used": gates.compute_cores_used(run.processes),
        "samples_ns": [ns for process in run.processes for ns in process.samples_ns],
        "median_ms": row.median.median,
        "p90_ms": row.p90,
        "p99_ms": row.p99,
        "process_medians_ms": rounds.compute_medians(run),
        "ci95_ms": None if interval is None else [interval.low, interval.high],
        "load_ms": row.load,
        "first_ms": row.first,
        "peak_rss_mb": _mb(run.peak_rss),
        "base_rss_mb": _mb(run.base_rss),
        "stable": row.stable,
        "notices": [notices.as_json(notice) for notice in run.notices],
        "context": run.context.model_dump(mode="json"),
    }


def _mb(size: int | None) -> float | None:
    return None if size is None else size / 1e6


def compare_with_reference(row: LatencyRow, table: Sequence[LatencyRow]) -> Speedup | None:
    """Return the speed-up of a row over eager fp32 PyTorch, None if that was not measured."""
    for other in table:
        if other.run.format == REFERENCE and row is not other and _comparable(row, other):
            return rounds.compute_speedup(other.run, row.run)
    return None


def find_slower_than_float(table: Sequence[LatencyRow]) -> list[Notice]:
    """Return a notice for each quantized row that is slower than its float counterpart.

    The counterpart is the float file of the same format, backend and architecture, measured on
    the same device with the same threads and cores: that of the same bundle if it has one, and
    fp32 before other precisions. With several bundles, their names are in the notice.
    """
    several = len({row.bundle.hash for row in table}) > 1
    comparisons = []
    for row in table:
        floats = [other for other in table if _is_float_of(other, row)]
        own = [other for other in floats if other.bundle.hash == row.bundle.hash] or floats
        full = [other for other in own if other.run.precision == "fp32"]
        for other in full or own if row.run.quantize != "none" else ():
            speedup = rounds.compute_speedup(other.run, row.run)
            if speedup.ratio < 1:
                comparisons.append(_slower(row, other, speedup, several))
    return comparisons


def _slower(row: LatencyRow, other: LatencyRow, speedup: Speedup, several: bool) -> Notice:
    values: dict[str, Value] = {
        "row": row.name_among(several),
        "other": other.name_among(several),
        "own": row.median.median,
        "float": other.median.median,
    }
    if speedup.interval is None:
        needed = statistics.MIN_PROCESSES
        return make_notice("int8.few-processes", ratio=1 / speedup.ratio, needed=needed, **values)
    if not speedup.clear:
        return make_notice("int8.not-faster", **values)
    arm = row.run.context.machine.startswith(("aarch64", "arm"))
    code = "int8.slower" if arm else "int8.slower-on-desktop"
    return make_notice(code, ratio=1 / speedup.ratio, **values)


def _is_float_of(other: LatencyRow, row: LatencyRow) -> bool:
    same_kind = all(
        getattr(other.run, name) == getattr(row.run, name) for name in ("format", "backend", "via")
    )
    return other.run.quantize == "none" and same_kind and _comparable(row, other)


def _comparable(one: LatencyRow, other: LatencyRow) -> bool:
    return _setting(one) == _setting(other)


def _setting(row: LatencyRow) -> tuple[str, str, float, str, str | None, int, str]:
    bundle, run = row.bundle, row.run
    device = (run.device.name, run.device.serial)
    where = (run.plan.threads, run.plan.cpus)
    return (bundle.model, bundle.size, bundle.width, *device, *where)
