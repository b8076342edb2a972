"""When a measurement has processes enough."""

from __future__ import annotations

from collections.abc import Sequence

from kit.bench import paired, passes
from kit.bench.targets import Target
from kit.results import pairs, rounds
from kit.results.schema import Plan

_MEDIAN = " (more, the median is not known well enough)"
_DIFFERENCE = " (more, the difference is not known well enough)"


class Enough:
    """Asked before each round of processes what another one is for.

    A median may be looked at after every round: its interval does not decide anything. A
    comparison's does, and each look is one more chance to stop on luck. So from
    `pairs.LEAST_NARROW` pairs on it is looked at whenever they have doubled; before, only what
    is far from equal ends it, see `pairs.known`.
    """

    def __init__(self, found: Sequence[Target], plan: Plan) -> None:
        self._found, self._plan = found, plan
        self._apart = [
            (found[one], found[other])
            for one, other in paired.sides([target.key for target in found])
            if found[one].bundle is not found[other].bundle
        ]
        self._known = not self._apart

    def lacks(self, done: int) -> str | None:
        """Return what round number `done` is for, to be told after the name of what runs.

        Returns:
            Nothing to be said of a round that the plan has anyway; None after the last one.
        """
        plan = self._plan
        if done < plan.repeats:
            return ""
        compared = self._compared(done)
        if done < (plan.most_repeats or 0) and not self._resolved():
            return _MEDIAN
        if done < (plan.most_pairs or 0) and not compared:
            return _DIFFERENCE
        return None

    def _resolved(self) -> bool:
        return all(passes.resolved(t.processes, self._plan) for t in self._found)

    def _compared(self, done: int) -> bool:
        if not self._known and self._is_look(done):
            self._known = all(self._is_known(one, other) for one, other in self._apart)
        return self._known

    def _is_look(self, done: int) -> bool:
        times, rest = divmod(done, pairs.LEAST_NARROW)
        doubled = rest == 0 and times.bit_count() == 1
        return done == self._plan.repeats or times == 0 or doubled

    def _is_known(self, one: Target, other: Target) -> bool:
        _, interval = pairs.ratio(rounds.paces(one.processes), rounds.paces(other.processes))
        count = min(len(one.processes), len(other.processes))
        return pairs.known(interval, count, self._plan.precision)
