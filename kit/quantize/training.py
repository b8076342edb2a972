"""The training loop of quantization-aware training, and nothing around it.

The float model is the teacher and its simulation in int8 the student (distillation, Hinton
et al., arXiv 1503.02531); with labels, cross-entropy is added. Training goes in rounds. A
round depends on the state that the round before it left and on nothing else, so that a
resumed training takes the same steps as an uninterrupted one. Ranges stay as they are:
observed anew every ten steps, they were measured to fit the training pictures too well.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from kit.quantize.distributed import Group

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from kit.quantize.simulation import Simulation

WARM_UP = 5  # steps until Adam's second moments mean something
ROUNDS = 10  # at least, in as many steps
LONGEST = 25  # steps of a round, at most
DIVERGED = 10.0  # times the loss of the first step,
RUINED = 0.5  # but not below this: half as much noise as signal
# Beside labels: an SQNR of 20 dB counts as much as a cross-entropy of 1.
NOISE_WEIGHT = 100.0

Model = Callable[["Tensor"], "Tensor"]


class State(TypedDict):
    """What a round leaves to the next; "model" is a float state."""

    step: int
    first_loss: float
    model: dict[str, Tensor]
    optimizer: dict[str, Any]  # torch's own


@dataclass(frozen=True)
class Batch:
    """Pictures [B, 3, H, W], and their classes [B] if they are known."""

    images: Tensor
    labels: Tensor | None


@dataclass(frozen=True)
class TrainingPlan:
    """What to do.

    Attributes:
        steps: optimizer steps.
        batch: pictures per step, over all processes.
        learning_rate: the highest; it rises for five steps and falls along a cosine to zero.
        power: mean square of the teacher's logits, by which the squared error is divided.
    """

    steps: int
    batch: int
    learning_rate: float
    power: float

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        rise = min(1.0, (step + 1) / WARM_UP)
        return self.learning_rate * rise * (1 + math.cos(math.pi * step / self.steps)) / 2

    def end(self, step: int) -> int:
        """Return the end of the round that begins with a step."""
        return min(self.steps, step + min(LONGEST, -(-self.steps // ROUNDS)))


class Diverged(Exception):
    """The loss is not finite, or far above that of the first step.

    Attributes:
        step: steps that were made.
    """

    def __init__(self, step: int, first: float, loss: float) -> None:
        super().__init__(
            f"at step {step} it diverged: the loss went from {first:.3g} to {loss:.3g}"
        )
        self.step = step


def objective(plan: TrainingPlan, logits: Tensor, wanted: Tensor, labels: Tensor | None) -> Tensor:
    """Return the mean loss of a batch.

    Without labels it is the noise of the logits [B, classes] relative to the power of the
    teacher's, the inverse of the SQNR that everything else in kit is judged by. With labels
    it weighs so much that the gradients of both terms are of one size.
    """
    from torch.nn import functional

    noise: Tensor = functional.mse_loss(logits, wanted) / plan.power
    if labels is None:
        return noise
    return NOISE_WEIGHT * noise + functional.cross_entropy(logits, labels)


def train_round(
    student: Simulation,
    teacher: Model,
    batch: Callable[[int], Batch],
    plan: TrainingPlan,
    group: Group,
    state: State | None,
) -> tuple[State, float]:
    """Train the float weights and biases inside a calibrated simulation, in place.

    Args:
        student: the model of the state, or the start; its ranges stay as they are.
        teacher: gives the logits [B, classes] that are wanted.
        batch: gives this process's part of a step's pictures.
        plan: what to do.
        group: the processes that train together.
        state: what the round before left; None before the first.

    Returns:
        The state after the round, and the mean loss of its steps.

    Raises:
        Diverged: the learning rate is too high.
    """
    optimizer = _optimizer(student, plan, state)
    begin, first = (0, math.nan) if state is None else (state["step"], state["first_loss"])
    end, losses = plan.end(begin), []
    for step in range(begin, end):
        _set_rate(optimizer, plan.rate(step))
        losses.append(_step(student, teacher, batch(step), plan, group, optimizer))
        first = losses[0] if step == 0 else first
        if not math.isfinite(losses[-1]) or losses[-1] > max(DIVERGED * first, RUINED):
            raise Diverged(step + 1, first, losses[-1])
    made: State = {
        "step": end,
        "first_loss": first,
        "model": student.float_state(),
        "optimizer": optimizer.state_dict(),
    }
    return made, sum(losses) / len(losses)


def _optimizer(student: Simulation, plan: TrainingPlan, state: State | None) -> Optimizer:
    """Return Adam over all parameters, in the state that the round before left."""
    import torch

    parameters = list(student.parameters())
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimizer = torch.optim.Adam(parameters, lr=plan.learning_rate)
    if state is not None:
        optimizer.load_state_dict(state["optimizer"])
    return optimizer


def _set_rate(optimizer: Optimizer, rate: float) -> None:
    for options in optimizer.param_groups:
        options["lr"] = rate


def _step(
    student: Simulation,
    teacher: Model,
    part: Batch,
    plan: TrainingPlan,
    group: Group,
    optimizer: Optimizer,
) -> float:
    """Make one step and return its loss over all processes."""
    import torch

    with torch.no_grad():
        wanted = teacher(part.images)
    optimizer.zero_grad()
    share = len(part.images) / plan.batch
    loss = share * objective(plan, student.graph(part.images), wanted, part.labels)
    loss.backward()
    total = loss.detach()
    group.add_up([total, *(p.grad for p in student.parameters() if p.grad is not None)])
    optimizer.step()
    return float(total)
