"""Paired comparison of two targets of one measurement, process by process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kit.artifact_key import FLOAT_MODEL, ArtifactKey
from kit.bench.rows import LatencyRow
from kit.results import pairs, rounds, statistics
from kit.results.latency import Process, Run
from kit.results.statistics import Interval

# A smaller difference does not matter to users, and is below the repeatability of our machines.
FLOOR = 0.01


@dataclass(frozen=True)
class PairedComparison:
    """How long one target takes, as a share of another's time.

    Attributes:
        ratio: below 1 is faster than the baseline; see `kit.results.pairs`.
        interval: 95 %; None below three pairs.
        pairs: neighbouring processes, one of each target.
        gap_c: largest difference of the battery's temperature within a pair, in degrees
            Celsius; None if the device reports no temperature.
    """

    baseline: LatencyRow
    row: LatencyRow
    ratio: float
    interval: Interval | None
    pairs: int
    gap_c: float | None

    @property
    def verdict(self) -> Literal["faster", "slower", "no difference", "not known"]:
        """Return ``faster``, ``slower``, ``no difference`` or ``not known``.

        ``no difference`` requires the whole interval within `statistics.MARGIN` of 1.
        """
        if self.interval is None:
            return "not known"
        low, high = self.interval.low, self.interval.high
        if not low <= 1 <= high and abs(self.ratio - 1) >= FLOOR:
            return "slower" if self.ratio > 1 else "faster"
        return "no difference" if self.interval.near_one else "not known"


def compare(table: Sequence[LatencyRow]) -> list[PairedComparison]:
    """Compare each row with its baseline in a table of one measurement.

    The baseline is the first row of the same key, or else of the same format, or else the first.
    Eager PyTorch is left out, because it has a different runner.
    """
    indices = pair_targets([row.run.key for row in table])
    return [_compare(table[baseline], table[other]) for baseline, other in indices]


def pair_targets(keys: Sequence[ArtifactKey]) -> list[tuple[int, int]]:
    """Return which of a measurement's targets are compared, given their keys.

    Returns:
        Pairs of indices: a baseline and the target that is compared with it, see `compare`.
    """
    own = [index for index, key in enumerate(keys) if key != FLOAT_MODEL]
    indices = []
    for index in own:
        same = [other for other in own if keys[other] == keys[index]]
        related = [other for other in own if keys[other].format == keys[index].format]
        baseline = next((one for one in (same[0], related[0]) if one != index), own[0])
        if baseline != index:
            indices.append((baseline, index))
    return indices


def _compare(baseline: LatencyRow, row: LatencyRow) -> PairedComparison:
    paces = [rounds.compute_paces(r.run.processes) for r in (baseline, row)]
    ratio, interval = pairs.compute_ratio(*paces)
    return PairedComparison(
        baseline=baseline,
        row=row,
        ratio=ratio,
        interval=interval,
        pairs=min(map(len, paces)),
        gap_c=_gap(baseline.run, row.run),
    )


def _gap(one: Run, other: Run) -> float | None:
    gaps = [
        abs(a - b)
        for first, second in zip(one.processes, other.processes, strict=False)
        if (a := _temperature(first)) is not None and (b := _temperature(second)) is not None
    ]
    return round(max(gaps), 1) if gaps else None


def _temperature(process: Process) -> float | None:
    return process.conditions[-1].temperature_c if process.conditions else None


def as_json(comparison: PairedComparison) -> dict[str, object]:
    """Return the object of a comparison for `kit bench --json`."""
    interval = comparison.interval
    return {
        "baseline": [comparison.baseline.bundle.name, comparison.baseline.run.name],
        "other": [comparison.row.bundle.name, comparison.row.run.name],
        "ratio": comparison.ratio,
        "ci95": None if interval is None else [interval.low, interval.high],
        "pairs": comparison.pairs,
        "temperature_gap_c": comparison.gap_c,
        "verdict": comparison.verdict,
        "margin": statistics.MARGIN,
    }
