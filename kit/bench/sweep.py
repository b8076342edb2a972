"""Find the fastest number of threads and cores by trying all.

Threads on cores of different kinds wait for each other, and a runtime's own default can cost
a factor of twenty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.bench import cores, measure
from kit.bench.runner import RunnerKind
from kit.bundles.bundle import Bundle
from kit.devices.fingerprint import make_measurement_id
from kit.devices.interface import Device
from kit.progress import Progress
from kit.results import statistics
from kit.results.latency import LatencyResult, Plan, Recommendation, Run

CLOSE = 0.03  # a gain below this is not worth another thread


@dataclass(frozen=True)
class SweepSetting:
    """One setting of a sweep: threads on the cores of a choice of `kit bench --cpus`."""

    threads: int
    cpus: str

    @property
    def label(self) -> str:
        """Name for progress: ``2 threads``, ``1 thread on big cores``."""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return threads if self.cpus == "all" else f"{threads} on {self.cpus} cores"


def list_settings(device: Device) -> list[SweepSetting]:
    """Return each choice of cores with 1, 2, 4 … threads, and with as many as it has cores."""
    listed = []
    for name, count in cores.list_choices(device.clusters).items():
        doubled = {2**n for n in range(count.bit_length()) if 2**n <= count}
        listed += [SweepSetting(threads, name) for threads in sorted(doubled | {count})]
    return listed


def sweep(
    bundles: Sequence[Bundle | str | Path],
    formats: Sequence[str] | None,
    plan: Plan,
    device: Device,
    progress: Progress,
    runner: RunnerKind = "auto",
    measurement: str | None = None,
) -> list[LatencyResult]:
    """Measure every setting; each result has all runs, and a recommendation per file.

    Raises:
        KitError: as `kit.bench.measure.measure_all`.
    """
    tried = list_settings(device)
    measurement = measurement or make_measurement_id()
    rounds = []
    for index, setting in enumerate(tried, 1):
        mask = cores.make_mask(setting.cpus, device.clusters)
        changes = {"threads": setting.threads, "cpus": mask, "max_pairs": None}
        changed = plan.model_copy(update=changes)

        def report(
            done: int, total: int, label: str, n: int = index, of: str = setting.label
        ) -> None:
            progress((n - 1) * total + done, len(tried) * total, f"{of}: {label}")

        rounds.append(
            measure.measure_all(
                bundles, formats, changed, report, device, runner, measurement=measurement
            )
        )
    return [_joined(results, tried) for results in zip(*rounds, strict=True)]


def _joined(results: Sequence[LatencyResult], tried: Sequence[SweepSetting]) -> LatencyResult:
    runs = [run for result in results for run in result.runs]
    best = {name: choose_best(results, tried, name) for name in dict.fromkeys(r.name for r in runs)}
    return results[-1].model_copy(update={"runs": tuple(runs), "recommended": best})


def choose_best(
    results: Sequence[LatencyResult], tried: Sequence[SweepSetting], name: str
) -> Recommendation:
    """Return the fastest setting, or one with fewer threads that is nearly as fast."""
    medians = {
        setting: _median(next(run for run in result.runs if run.name == name))
        for setting, result in zip(tried, results, strict=True)
    }
    fastest = min(medians.values())
    near = [setting for setting in tried if medians[setting] <= (1 + CLOSE) * fastest]
    best = min(near, key=lambda setting: (setting.threads, medians[setting]))
    return Recommendation(threads=best.threads, cpus=best.cpus)


def _median(run: Run) -> float:
    return statistics.compute_median_ms([ns for p in run.processes for ns in p.samples_ns])
