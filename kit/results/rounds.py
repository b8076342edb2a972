"""Which runs were measured side by side, so that their processes make pairs."""

from __future__ import annotations

from collections.abc import Sequence

from kit.results import pairs, statistics
from kit.results.schema import Process, Run
from kit.results.statistics import Estimate, Speedup


def together(one: Run, other: Run) -> bool:
    """Whether process number i of both ran in the same round.

    Args:
        one: of a measurement: a result, or several with the same `Identity.measurement`.
        other: of the same one. In a sweep, runs of another plan had rounds of their own.
    """
    return (
        one.plan == other.plan
        and one.device == other.device
        and len(one.processes) == len(other.processes)
    )


def medians(run: Run) -> list[float]:
    """Return the median of each process in ms, in the order they ran."""
    return [statistics.median_ms(process.samples_ns) for process in run.processes]


def paces(processes: Sequence[Process]) -> list[float]:
    """Return the time in ms that one in fifty of each process's samples beats, in their order.

    What a process costs in the machine's quiet moments; see `kit.results.pairs`.
    """
    percent = 100 * pairs.QUIET
    return [statistics.percentile_ms(p.samples_ns, percent) for p in processes]


def estimate(run: Run) -> Estimate:
    """Return the median over a run's processes in ms, and its interval."""
    return statistics.estimate([process.samples_ns for process in run.processes])


def speedup(baseline: Run, own: Run) -> Speedup:
    """Return how many times as fast a run is as another of the same measurement.

    Raises:
        ValueError: one has no samples, or times that are not above 0.
    """
    if together(baseline, own):
        return pairs.speedup(paces(baseline.processes), paces(own.processes))
    return statistics.ratio(estimate(baseline), estimate(own))
