"""Decide whether a trained model is better than the one it started from."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kit.pipeline.training_data import VIEWS
from kit.quantize.training import Batch, TrainingPlan

if TYPE_CHECKING:
    from torch import Tensor

    from kit.pipeline.training_data import TrainingData

CHUNK = 8
# Threshold of one-sided sign tests at 5 %, in standard deviations. Noise must decrease on
# significantly more pictures than it increases. Top-1 answers must not become wrong
# significantly more often than right (McNemar's test): an int8 model breaks near ties at
# random, and without a margin half of all trainings that are no worse would be rejected.
SIGNIFICANT = 1.64


@dataclass(frozen=True)
class TrainingScore:
    """Score of a simulated int8 model on the held-out pictures.

    Attributes:
        loss: the objective of the training.
        right: of each picture's views, the number whose top-1 answer is the label or, without
            labels, that of the float model.
        sqnr_db: against the float model.
        noise: squared error of each picture's logits against the float model's, the mean of its
            views. These depend on each other, so that tests count pictures.
    """

    loss: float
    right: tuple[int, ...]
    sqnr_db: float
    noise: tuple[float, ...]


@dataclass(frozen=True)
class HeldOutEvaluation:
    """Held-out pictures with the float model's answers.

    Attributes:
        batch: views of the held-out pictures, or of all pictures if there are too few.
        expected: the float model's logits [N, classes].
    """

    batch: Batch
    expected: Tensor

    @classmethod
    def of(cls, data: TrainingData, teacher: Callable[[Tensor], Tensor]) -> HeldOutEvaluation:
        """Run the float model on the held-out pictures."""
        batch = data.held_out_batch()
        return cls(batch, _answers(teacher, batch.images))

    @property
    def power(self) -> float:
        """Mean square of the float model's logits."""
        return float(self.expected.square().mean())

    def score(self, model: Callable[[Tensor], Tensor], plan: TrainingPlan) -> TrainingScore:
        """Compare a simulated model with the float one, and with the labels if there are any."""
        from kit.quantize.training import compute_objective

        logits, labels = _answers(model, self.batch.images), self.batch.labels
        loss = float(compute_objective(plan, logits, self.expected, labels))
        truth = self.expected.argmax(1) if labels is None else labels
        noise = (self.expected.double() - logits.double()).square().sum(1)
        power = float(self.expected.double().square().sum())
        sqnr = 10 * math.log10(max(power, 1e-30) / max(float(noise.sum()), 1e-30))
        right = (logits.argmax(1) == truth).view(VIEWS, -1).sum(0)
        per_picture = noise.view(VIEWS, -1).mean(0)
        return TrainingScore(loss, tuple(right.tolist()), sqnr, tuple(per_picture.tolist()))


def _answers(model: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    import torch

    with torch.no_grad():
        return torch.cat([model(part) for part in images.split(CHUNK)])


def explain_rejection(start: TrainingScore, end: TrainingScore) -> str:
    """Return why the end is not better than the start; empty if it is better."""
    if not end.loss < start.loss:
        return (
            f"on {len(start.right)} pictures the loss went from {start.loss:.4g} to {end.loss:.4g}"
        )
    fewer = sum(after < before for before, after in zip(start.noise, end.noise, strict=True))
    more = len(end.noise) - fewer
    if fewer - more < SIGNIFICANT * math.sqrt(fewer + more):
        return f"of {len(end.noise)} pictures only {fewer} have less noise"
    pairs = list(zip(start.right, end.right, strict=True))
    lost, won = sum(a < b for b, a in pairs), sum(a > b for b, a in pairs)
    if lost - won > SIGNIFICANT * math.sqrt(lost + won):
        return f"the first answers of {lost} of {len(pairs)} pictures became worse, of {won} better"
    return ""
