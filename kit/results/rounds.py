"""Which runs were interleaved, so that their processes form pairs."""

from __future__ import annotations

from collections.abc import Sequence

from kit.results import pairs, statistics
from kit.results.latency import Process, Run
from kit.results.statistics import Estimate, Speedup


def is_paired(one: Run, other: Run) -> bool:
    """Return whether process number i of both ran in the same round.

    Args:
        one: of a measurement: a result, or several with the same `Identity.measurement`.
        other: of the same measurement. In a sweep, each plan has rounds of its own.
    """
    return (
        one.plan == other.plan
        and one.device == other.device
        and len(one.processes) == len(other.processes)
    )


def compute_medians(run: Run) -> list[float]:
    """Return the median of each process in ms, in the order they ran."""
    return [statistics.compute_median_ms(process.samples_ns) for process in run.processes]


def compute_paces(processes: Sequence[Process]) -> list[float]:
    """Return the 2nd percentile of each process's samples in ms, in their order.

    It is the time of an inference in the machine's quiet moments; see `kit.results.pairs`.
    """
    percent = 100 * pairs.QUIET
    return [statistics.compute_percentile_ms(p.samples_ns, percent) for p in processes]


def estimate(run: Run) -> Estimate:
    """Return the median over a run's processes in ms, and its interval."""
    return statistics.estimate([process.samples_ns for process in run.processes])


def compute_speedup(baseline: Run, own: Run) -> Speedup:
    """Return how many times as fast a run is as another of the same measurement.

    Raises:
        ValueError: one has no samples, or a time that is not above 0.
    """
    if is_paired(baseline, own):
        return pairs.compute_speedup(
            compute_paces(baseline.processes), compute_paces(own.processes)
        )
    return statistics.compute_ratio(estimate(baseline), estimate(own))
