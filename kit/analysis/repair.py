"""Search for the cheapest change of a recipe that reaches a target.

Corrections and observers cost nothing at run time, so they are tried first, in order of build
time. If they do not suffice, layers are kept in float: repeatedly the move that removes the most
noise for its latency is made. A move is one layer, or all layers around one tensor, because the
tensor becomes float only then. Finally, unneeded moves are undone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kit.analysis.case import Case, Simulated
from kit.analysis.moves import MAX_KEPT, Moves
from kit.analysis.score import Score
from kit.analysis.sensitivity import thin_case
from kit.analysis.target import RepairTarget
from kit.corrections import plan
from kit.quantize.observers import NAMES as OBSERVERS

if TYPE_CHECKING:
    from torch.fx import GraphModule

CORRECTIONS = ("none", "equalize", "bias", "equalize,bias", "best")  # in order of build time
REBIASING = {"bias", "rounding"}  # corrections of biases for rounding errors of weights
NOISE_DB, NOISE_POINTS = 0.2, 0.5  # minimum significant difference of two choices
PICTURES = 8  # for ranking moves; each move made is measured on all pictures


@dataclass(frozen=True)
class Choice:
    """A variant of a recipe: corrections, observer, and layers in float."""

    corrections: str
    observer: str
    kept: tuple[str, ...] = ()


@dataclass(frozen=True)
class Attempt:
    """A choice with its score, and the estimated latency that its layers in float add."""

    choice: Choice
    score: Score
    latency: float


@dataclass(frozen=True)
class Repair:
    """All attempts, in order, and the best one: the cheapest that meets the target."""

    tried: tuple[Attempt, ...]
    best: Attempt
    met: bool


# Maps corrections and layers to keep in float to the folded, corrected float model.
Prepare = Callable[[str, tuple[str, ...]], "GraphModule"]


class Search:
    """One search; see `run`.

    Args:
        target: to reach.
        case: pictures and other constant inputs.
        prepare: returns the float model of a choice.
        costs: latency that each layer adds in float, as a share of the int8 latency.
        report: called with each attempt.
    """

    def __init__(
        self,
        target: RepairTarget,
        case: Case,
        prepare: Prepare,
        costs: dict[str, float],
        report: Callable[[Attempt], None] = lambda attempt: None,
    ) -> None:
        self._target = target
        self._case = case
        self._prepare = prepare
        self._costs = costs
        self._report = report
        self._tried: list[Attempt] = []
        self._folded: dict[tuple[str, tuple[str, ...]], GraphModule] = {}

    def run(self, start: Choice) -> Repair:
        """Return all attempts, starting with the recipe itself."""
        attempt = self._steps(start)
        if not self._target.met(attempt.score):
            ends = [self._confirmed(self._keep(base), base) for base in self._bases(attempt)]
            met = [end for end in ends if self._target.met(end.score)]
            cheapest = min(met, key=lambda end: end.latency, default=None)
            attempt = cheapest or max([attempt, *ends], key=self._rank)
        return Repair(tuple(self._tried), attempt, self._target.met(attempt.score))

    def _bases(self, best: Attempt) -> list[Attempt]:
        """Return the choices to start from: the best, and the best with its own biases.

        A bias that was corrected for rounded weights does not suit the float ones.
        """
        own = [a for a in self._tried if not set(plan.resolve(a.choice.corrections)) & REBIASING]
        return list(dict.fromkeys([best, *sorted(own, key=self._rank)[-1:]]))

    def _steps(self, start: Choice) -> Attempt:
        """Try corrections, then observers with the best of them, until the target is met."""
        best = self._attempt(start)
        for corrections in CORRECTIONS:
            if self._target.met(best.score):
                return best
            if plan.resolve(corrections) != plan.resolve(start.corrections):
                best = self._better(best, replace(start, corrections=corrections))
        winner = best.choice
        for observer in OBSERVERS:
            if self._target.met(best.score):
                return best
            if observer != start.observer:
                best = self._better(best, replace(winner, observer=observer))
        return best

    def _better(self, best: Attempt, choice: Choice) -> Attempt:
        """Return the attempt of a choice if it is better by more than noise, else `best`."""
        attempt = self._attempt(choice)
        if self._target.met(attempt.score):
            return attempt  # `best` does not meet it, or nothing more would be tried
        gains = [x - y for x, y in zip(self._rank(attempt), self._rank(best), strict=True)]
        noise = NOISE_DB if self._target.measure == "sqnr" else NOISE_POINTS
        if abs(gains[0]) >= noise:
            return attempt if gains[0] > 0 else best
        return attempt if gains[1] >= NOISE_DB else best

    def _rank(self, attempt: Attempt) -> tuple[float, float]:
        ratio = attempt.score.sqnr_db
        return self._target.value(attempt.score), float("inf") if ratio is None else ratio

    def _attempt(self, choice: Choice, model: Simulated | None = None) -> Attempt:
        model = model or self._model(choice)
        logits = model.logits(self._case.pictures, choice.kept)
        measured = self._case.score(logits)
        attempt = Attempt(choice, measured, sum(self._costs.get(name, 0.0) for name in choice.kept))
        self._tried.append(attempt)
        self._report(attempt)
        return attempt

    def _model(self, choice: Choice) -> Simulated:
        key = choice.corrections, choice.kept
        if key not in self._folded:
            self._folded[key] = self._prepare(*key)
        return Simulated.calibrated(self._folded[key], self._case, choice.observer)

    def _keep(self, start: Attempt) -> Attempt:
        """Keep layers in float until the target is met or no move helps."""
        model = self._model(start.choice)
        moves = Moves(model, thin_case(self._case, PICTURES).pictures, self._costs)
        best = attempt = start
        while not self._target.met(attempt.score) and len(attempt.choice.kept) < MAX_KEPT:
            move = moves.next(attempt.choice.kept)
            if move is None:
                break
            kept = tuple(name for name in model.keepable if name in {*attempt.choice.kept, *move})
            attempt = self._attempt(replace(attempt.choice, kept=kept), model)
            best = max(best, attempt, key=self._rank)
        if not self._target.met(best.score):
            return best
        return self._prune(best, start.choice.kept, model)

    def _confirmed(self, attempt: Attempt, start: Attempt) -> Attempt:
        """Measure layers in float again, in a model that was corrected for them."""
        if attempt.choice.kept == start.choice.kept:
            return attempt
        again = self._attempt(attempt.choice)
        self._tried.remove(attempt)
        return again

    def _prune(self, best: Attempt, needed: Sequence[str], model: Simulated) -> Attempt:
        """Quantize layers again that the target does not need, most expensive first."""
        removable = [name for name in best.choice.kept if name not in needed]
        if len(removable) == 1:
            return best
        for name in sorted(removable, key=lambda name: -self._costs.get(name, 0.0)):
            kept = tuple(other for other in best.choice.kept if other != name)
            attempt = self._attempt(replace(best.choice, kept=kept), model)
            if self._target.met(attempt.score):
                best = attempt
        return best
