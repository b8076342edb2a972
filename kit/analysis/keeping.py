"""Choose the fewest layers to keep in float, so that an int8 network is accurate enough.

Unlike `kit.analysis.repair`, this works for networks of any inputs and outputs, on few samples,
and changes nothing else: it is for builds, which run it only if the int8 network is inaccurate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kit.analysis.case import Simulated
from kit.analysis.moves import MAX_KEPT, Moves, Step
from kit.comparison import compute_sqnr_db
from kit.signature import FloatArray

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule

    from kit.quantize.examples import Call, Examples
    from kit.quantize.nodes import NodeValue
    from kit.quantize.simulation import Simulation

_RANKING_BYTES = 2**24  # of the answers of one setting; those of all settings are kept at once
_WORTH_DB = 0.2  # a layer that gives less is not kept, where the goal is not reached


@dataclass(frozen=True)
class Judged:
    """Samples and the float network's answers to them.

    Attributes:
        examples: the samples.
        answers: all outputs side by side, [N, values].
        ends: position in a row after each output.
        scales: of each value [values], so that all outputs have equal power.
    """

    examples: Examples
    answers: FloatArray
    ends: tuple[int, ...]
    scales: FloatArray

    def measure(self, answers: FloatArray) -> float:
        """Return the SQNR of the worst output, in dB; infinite if all are equal."""
        begins = (0, *self.ends[:-1])
        parts = [slice(*pair) for pair in zip(begins, self.ends, strict=True)]
        ratios = [compute_sqnr_db(self.answers[:, part], answers[:, part]) for part in parts]
        return min((ratio for ratio in ratios if ratio is not None), default=float("inf"))

    def simulate(self, folded: GraphModule, simulation: Simulation) -> Simulated:
        """Return a calibrated simulation with answers that are scaled for noise of all outputs."""
        return Simulated(folded, simulation, self.scales)

    def judge(self, model: Simulated, kept: tuple[str, ...]) -> float:
        """Return the SQNR in dB of a simulation's worst output, with some layers in float."""
        return self.measure(model.logits(self.examples, kept) / self.scales)


def judge_network(network: Callable[..., NodeValue], examples: Examples) -> Judged | None:
    """Return the float network's answers to samples; None if it has no finite float output.

    Args:
        network: takes tensors and returns a tensor or several.
        examples: to run it on.
    """
    import torch

    from kit.quantize.examples import join_outputs

    def run(call: Call) -> NodeValue:
        return network(*(value.clone() for value in call))  # a model may write into its input

    with torch.no_grad():
        floats = _floats(run(examples.first()))
        if not floats:
            return None
        rows = [join_outputs(run(part)) for part in examples.split(len(examples))]
    answers: FloatArray = torch.cat(rows).numpy()
    ends = tuple(int(end) for end in np.cumsum([value.numel() for value in floats]))
    if ends[-1] != answers.shape[1]:  # of outputs whose first dimension is not the batch
        ends = (answers.shape[1],)
    if not np.isfinite(answers).all():
        return None
    scales = np.empty(answers.shape[1], np.float32)
    for begin, end in zip((0, *ends[:-1]), ends, strict=True):
        power = float(np.square(answers[:, begin:end], dtype=np.float64).mean())
        scales[begin:end] = power**-0.5 if power else 1.0
    return Judged(examples, answers, ends, scales)


def _floats(output: NodeValue) -> list[Tensor]:
    import torch

    values = (output,) if isinstance(output, torch.Tensor) else output
    return [value for value in values if value.is_floating_point()]


class Keeping:
    """Choices of layers that stay float, for one simulation.

    Args:
        model: calibrated; its weights are not rounded by a correction, which would hide what
            rounding costs.
        judged: to measure on.
        costs: see `kit.analysis.moves.Moves`.
        step: called repeatedly with the completed share, 0..1.
    """

    def __init__(
        self,
        model: Simulated,
        judged: Judged,
        costs: dict[str, float],
        step: Step = lambda done: None,
    ) -> None:
        self._model = model
        self._judged = judged
        self._costs = costs
        count = max(2, _RANKING_BYTES // judged.answers[0].nbytes)
        self._moves = Moves(model, judged.examples.take(slice(count)), costs, step)

    def choose(self, goal: float) -> tuple[str, ...]:
        """Return the layers and operations with which the SQNR reaches a goal in dB.

        Returns:
            Up to 12 of them, never all; the best choice if none reaches the goal.
        """
        kept: tuple[str, ...] = ()
        layers = frozenset(self._model.layers)
        best, reached = kept, self._judged.judge(self._model, kept)
        while reached < goal:
            move = self._moves.next(kept)
            if move is None:
                break
            kept = tuple(name for name in self._model.keepable if name in {*kept, *move})
            if len(kept) > MAX_KEPT or (layers and layers <= set(kept)):
                break  # with all layers in float, the float network is faster
            ratio = self._judged.judge(self._model, kept)
            if ratio > reached:
                best, reached = kept, ratio
        return self._prune(best, min(goal, reached - _WORTH_DB))

    def _prune(self, kept: tuple[str, ...], enough: float) -> tuple[str, ...]:
        """Quantize again what is not needed, the most expensive first."""
        for name in sorted(kept, key=lambda name: -self._costs.get(name, 0.0)):
            fewer = tuple(other for other in kept if other != name)
            if self._judged.judge(self._model, fewer) >= enough:
                kept = fewer
        return kept
