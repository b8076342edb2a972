"""When a measurement has enough processes."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from kit.bench import paired, passes
from kit.bench.targets import Target
from kit.results import pairs, rounds
from kit.results.latency import Plan


class RoundReason(Enum):
    """Why another round of processes runs; the value follows the target's name in progress."""

    PLANNED = ""
    MEDIAN = " (extra: the median is not precise enough)"
    DIFFERENCE = " (extra: the difference is not precise enough)"


class StoppingRule:
    """Decides before each round of processes whether it is needed.

    A median may be checked after every round: nothing is decided from its interval. Verdicts
    are decided from a comparison's, and each check is one more chance to stop on luck. So from
    `pairs.MIN_PRECISION_PAIRS` pairs on it is checked only when their number has doubled;
    before, only a difference far from 1 ends it, see `pairs.is_resolved`.
    """

    def __init__(self, targets: Sequence[Target], plan: Plan) -> None:
        self._targets, self._plan = targets, plan
        self._comparisons = [
            (targets[one], targets[other])
            for one, other in paired.pair_targets([target.key for target in targets])
            if targets[one].bundle is not targets[other].bundle
        ]
        self._compared = not self._comparisons

    def next_round(self, done: int) -> RoundReason | None:
        """Return why a round runs after `done` rounds; None if no more are needed."""
        plan = self._plan
        if done < plan.repeats:
            return RoundReason.PLANNED
        compared = self._check_comparisons(done)
        if done < (plan.max_repeats or 0) and not self._medians_resolved():
            return RoundReason.MEDIAN
        if done < (plan.max_pairs or 0) and not compared:
            return RoundReason.DIFFERENCE
        return None

    def _medians_resolved(self) -> bool:
        return all(passes.is_resolved(t.processes, self._plan) for t in self._targets)

    def _check_comparisons(self, done: int) -> bool:
        if not self._compared and self._is_check_due(done):
            self._compared = all(self._is_compared(*sides) for sides in self._comparisons)
        return self._compared

    def _is_check_due(self, done: int) -> bool:
        times, rest = divmod(done, pairs.MIN_PRECISION_PAIRS)
        doubled = rest == 0 and times.bit_count() == 1
        return done == self._plan.repeats or times == 0 or doubled

    def _is_compared(self, one: Target, other: Target) -> bool:
        _, interval = pairs.compute_ratio(
            rounds.compute_paces(one.processes), rounds.compute_paces(other.processes)
        )
        count = min(len(one.processes), len(other.processes))
        return pairs.is_resolved(interval, count, self._plan.precision)
