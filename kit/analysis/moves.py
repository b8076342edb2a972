"""Moves of layers and operations from int8 to float, and the noise that each removes.

Errors of single places are nearly uncorrelated, so their noise adds up. So each is measured once,
separately, which is far less noisy than differences of whole int8 models, where one value that is
rounded differently changes all later ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from kit.analysis._replay import ReplaySetting, split_calls
from kit.analysis.case import Simulated
from kit.analysis.points import select_int8
from kit.quantize.examples import as_examples

if TYPE_CHECKING:
    from kit.quantize.examples import ExamplesLike

MAX_KEPT = 12  # layers in float; if more are needed, training or another network is better
MIN_NOISE = 0.01  # share of all noise that a move must remove: 0.04 dB
BORDER = 0.005  # share of the latency: minimum cost of a move, for its conversions

Move = tuple[str, ...]
Step = Callable[[float], None]


class Moves:
    """The moves, and the noise that each removes for its latency."""

    def __init__(
        self,
        model: Simulated,
        examples: ExamplesLike,
        costs: dict[str, float],
        step: Step = lambda done: None,
    ) -> None:
        """Measure the noise of each tensor and weight.

        Args:
            model: calibrated.
            examples: to measure on.
            costs: latency that each layer adds in float, as a share of the int8 latency; an
                operation without one costs its conversions.
            step: called repeatedly with the completed share, 0..1.
        """
        self._model = model
        self._costs = costs
        self._moves = tuple(dict.fromkeys(_list_moves(model)))
        tensors = [point.name for point in model.points]
        none: frozenset[str] = frozenset()
        settings = [ReplaySetting(frozenset({name}), none) for name in tensors]
        settings += [ReplaySetting(none, frozenset({name})) for name in model.layers]
        calls = len(split_calls(as_examples(examples))) * len(settings)
        done = itertools.count(1)
        exact, answers = model.replay(examples).run(
            ReplaySetting(none, none), settings, step=lambda: step(next(done) / calls)
        )
        noise = [float(np.square(exact - logits).sum(dtype=np.float64)) for logits in answers]
        self._tensors = dict(zip(tensors, noise, strict=False))
        self._weights = dict(zip(model.layers, noise[len(tensors) :], strict=True))

    def next(self, kept: Sequence[str]) -> Move | None:
        """Return the move that removes most noise for its latency, None if none removes enough."""
        threshold = MIN_NOISE * (sum(self._tensors.values()) + sum(self._weights.values()))
        worth = {}
        for move in self._moves:
            noise = self._noise(move, kept)
            if noise > threshold:
                worth[move] = noise / self._latency(move, kept)
        return max(worth, key=lambda move: worth[move], default=None)

    def _noise(self, move: Move, kept: Sequence[str]) -> float:
        """Return the noise of the weights and tensors that a move makes float."""
        points = self._model.points
        freed = select_int8(points, kept) - select_int8(points, {*kept, *move})
        new = set(move) - set(kept)
        weights = sum(self._weights.get(name, 0.0) for name in new)
        return sum(self._tensors[name] for name in freed) + weights

    def _latency(self, move: Move, kept: Sequence[str]) -> float:
        return BORDER + sum(self._costs.get(name, 0.0) for name in move if name not in kept)


def _list_moves(model: Simulated) -> Iterator[Move]:
    """Yield each layer and operation, and those around each tensor that only they use."""
    for name in model.keepable:
        yield (name,)
    for point in model.points:
        if len(point.around) > 1 and point.around <= set(model.keepable):
            yield tuple(sorted(point.around, key=model.keepable.index))
