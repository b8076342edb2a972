"""The training loop of quantization-aware training.

The float model is the teacher and its simulation in int8 the student (distillation, Hinton
et al., arXiv 1503.02531); with labels, cross-entropy is added. Training is split into rounds.
A round depends only on the state after the previous round, so that a resumed training takes
the same steps as an uninterrupted one. Ranges stay fixed: updating them every ten steps was
measured to overfit the training pictures.
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

WARM_UP = 5  # steps until Adam's second moments are reliable
MIN_ROUNDS = 10  # unless there are fewer steps
MAX_ROUND_STEPS = 25
DIVERGED = 10.0  # times the loss of the first step,
MIN_DIVERGED = 0.5  # and above this loss: half as much noise as signal
# In the objective with labels: an SQNR of 20 dB counts as much as a cross-entropy of 1.
NOISE_WEIGHT = 100.0

Forward = Callable[["Tensor"], "Tensor"]


class State(TypedDict):
    """State after a round; "model" is a float state."""

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
    """Hyperparameters of a training.

    Attributes:
        steps: optimizer steps.
        batch: pictures per step, over all processes.
        learning_rate: maximum; it rises for five steps and falls along a cosine to zero.
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
        return min(self.steps, step + min(MAX_ROUND_STEPS, -(-self.steps // MIN_ROUNDS)))


class Diverged(Exception):
    """The loss is not finite, or far above that of the first step.

    Attributes:
        step: number of steps taken.
    """

    def __init__(self, step: int, first: float, loss: float) -> None:
        super().__init__(
            f"at step {step} it diverged: the loss went from {first:.3g} to {loss:.3g}"
        )
        self.step = step


def compute_objective(
    plan: TrainingPlan, logits: Tensor, expected: Tensor, labels: Tensor | None
) -> Tensor:
    """Return the mean loss of a batch.

    Without labels it is the noise of the logits [B, classes] relative to the power of the
    teacher's, the inverse of the SQNR that kit uses everywhere else. With labels it is weighted
    so that the gradients of both terms have similar magnitude.
    """
    from torch.nn import functional

    noise: Tensor = functional.mse_loss(logits, expected) / plan.power
    if labels is None:
        return noise
    return NOISE_WEIGHT * noise + functional.cross_entropy(logits, labels)


def train_round(
    student: Simulation,
    teacher: Forward,
    batch: Callable[[int], Batch],
    plan: TrainingPlan,
    group: Group,
    state: State | None,
) -> tuple[State, float]:
    """Train the float weights and biases of a calibrated simulation, in place.

    Args:
        student: the model of the state, or the start; its ranges stay fixed.
        teacher: returns the target logits [B, classes].
        batch: returns this process's part of a step's pictures.
        plan: hyperparameters.
        group: the processes of the training.
        state: after the previous round; None for the first round.

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
        if not math.isfinite(losses[-1]) or losses[-1] > max(DIVERGED * first, MIN_DIVERGED):
            raise Diverged(step + 1, first, losses[-1])
    after: State = {
        "step": end,
        "first_loss": first,
        "model": student.float_state(),
        "optimizer": optimizer.state_dict(),
    }
    return after, sum(losses) / len(losses)


def _optimizer(student: Simulation, plan: TrainingPlan, state: State | None) -> Optimizer:
    """Return Adam over all parameters, in its state after the previous round."""
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
    teacher: Forward,
    part: Batch,
    plan: TrainingPlan,
    group: Group,
    optimizer: Optimizer,
) -> float:
    """Take one step and return its loss over all processes."""
    import torch

    with torch.no_grad():
        expected = teacher(part.images)
    optimizer.zero_grad()
    share = len(part.images) / plan.batch
    loss = share * compute_objective(plan, student.graph(part.images), expected, part.labels)
    loss.backward()
    total = loss.detach()
    group.all_reduce([total, *(p.grad for p in student.parameters() if p.grad is not None)])
    optimizer.step()
    return float(total)
