"""Is a trained model better than the one it started from?"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kit.quantize.training import Batch, TrainingPlan

if TYPE_CHECKING:
    from torch import Tensor

    from kit.pipeline._train_pictures import Material

CHUNK = 8
# Sign tests, one-sided at 5 %, as standard deviations. Noise must become less on more
# pictures than chance would give. First answers (McNemar's test) may change to wrong no
# oftener than chance: an int8 model breaks near ties at random, and without this every
# second training that is no worse would be thrown away.
SURE = 1.64


@dataclass(frozen=True)
class TrainingScore:
    """How a simulated int8 model answers the pictures that judge it.

    Attributes:
        loss: the objective of the training.
        right: per picture, whether the first answer is the label or, without labels, that of
            the float model.
        sqnr_db: against the float model.
        noise: squared error of each picture's logits against the float model's.
    """

    loss: float
    right: tuple[bool, ...]
    sqnr_db: float
    noise: tuple[float, ...]


@dataclass(frozen=True)
class Jury:
    """Pictures that judge, and what the float model answers to them.

    Attributes:
        batch: pictures that training does not see, if there are enough.
        wanted: the float model's logits [N, classes].
    """

    batch: Batch
    wanted: Tensor

    @classmethod
    def of(cls, material: Material, teacher: Callable[[Tensor], Tensor]) -> Jury:
        """Ask the float model."""
        batch = material.judge()
        return cls(batch, _answers(teacher, batch.images))

    @property
    def power(self) -> float:
        """Mean square of the float model's logits."""
        return float(self.wanted.square().mean())

    def score(self, model: Callable[[Tensor], Tensor], plan: TrainingPlan) -> TrainingScore:
        """Compare a simulated model with the float one, and with the labels if there are any."""
        from kit.quantize.training import objective

        logits, labels = _answers(model, self.batch.images), self.batch.labels
        loss = float(objective(plan, logits, self.wanted, labels))
        truth = self.wanted.argmax(1) if labels is None else labels
        noise = (self.wanted.double() - logits.double()).square().sum(1)
        power = float(self.wanted.double().square().sum())
        sqnr = 10 * math.log10(max(power, 1e-30) / max(float(noise.sum()), 1e-30))
        right = tuple((logits.argmax(1) == truth).tolist())
        return TrainingScore(loss, right, sqnr, tuple(noise.tolist()))


def _answers(model: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    import torch

    with torch.no_grad():
        return torch.cat([model(part) for part in images.split(CHUNK)])


def worse(start: TrainingScore, end: TrainingScore) -> str:
    """Return in words why the end is not better than the start, or nothing if it is."""
    if not end.loss < start.loss:
        return (
            f"on {len(start.right)} views of pictures the loss went from {start.loss:.4g} to "
            f"{end.loss:.4g}"
        )
    fewer = sum(after < before for before, after in zip(start.noise, end.noise, strict=True))
    more = len(end.noise) - fewer
    if fewer - more < SURE * math.sqrt(fewer + more):
        return f"of {len(end.noise)} views of pictures only {fewer} have less noise"
    pairs = list(zip(start.right, end.right, strict=True))
    lost, won = pairs.count((True, False)), pairs.count((False, True))
    if lost - won > SURE * math.sqrt(lost + won):
        return f"of {len(pairs)} first answers {lost} became wrong and {won} right"
    return ""
