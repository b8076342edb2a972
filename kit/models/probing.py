"""Find what a user's network answers to pictures, by running it on noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kit.errors import RecipeError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from kit.models.user_model import UserModel

_TOLERANCE = 0.01  # of the largest value: kernels for one and two pictures round differently
NEEDS_FLOAT = "call .float() on the network"


@dataclass(frozen=True)
class AnswerForm:
    """The form of the answers to N pictures that a task needs.

    Attributes:
        accepts: returns whether a shape [N, …] has it.
        hint: what the network must return, for messages.
        adapt: returns the network whose answers the task uses.
        accepts_all: returns whether the shapes of several outputs have it; None for one output.
    """

    accepts: Callable[[tuple[int, ...]], bool]
    hint: str
    adapt: Callable[[nn.Module], nn.Module] = lambda model: model
    accepts_all: Callable[[Sequence[tuple[int, ...]]], bool] | None = None


LOGITS = AnswerForm(
    lambda shape: len(shape) == 2 and shape[1] >= 2,
    "it must return logits [N, classes] with two classes or more; wrap it if it has others",
)


def find_answer_shape(
    member: UserModel, picture: tuple[int, ...], form: AnswerForm
) -> tuple[int, ...]:
    """Return the shape of a network's only output for one picture; see `find_answer_shapes`."""
    return find_answer_shapes(member, picture, form)[0]


def find_answer_shapes(
    member: UserModel, picture: tuple[int, ...], form: AnswerForm
) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of a network's outputs for one picture, the batch of one included.

    Args:
        member: the model.
        picture: shape of a picture, [3, H, H] or as
            `kit.manifest.preprocessing.Preprocessing.shape` has it.
        form: that the answer must have.

    Raises:
        RecipeError: the network fails on a picture of this size, answers in another form, writes
            into its input, or answers a picture in two ways.
    """
    import torch

    model = form.adapt(member.build())
    noise = torch.Generator().manual_seed(0)
    pair = torch.rand(2, *picture, generator=noise)
    pair[1] *= 0.2  # unlike the first one, to reveal layers that compute across the batch
    answers = [_run(member, model, part, form) for part in (pair[:1], pair[:1], pair)]
    for one, again, two in zip(*answers, strict=True):
        _check_answers(member, form, one, again, two)
    return tuple(tuple(one.shape) for one in answers[0])


def _check_answers(
    member: UserModel, form: AnswerForm, one: Tensor, again: Tensor, two: Tensor
) -> None:
    """Raise RecipeError unless an output depends on its own picture, and on nothing else.

    Args:
        member: the model.
        form: of its answers.
        one: the output for a picture.
        again: for the same picture.
        two: for this and another picture at once.
    """
    import torch

    if not torch.equal(one, again) and not one.isnan().any():
        raise RecipeError(
            f"{member.name} answers the same picture in two ways, in eval mode",
            "is there a dropout without training=self.training?",
        )
    if two.shape[1:] != one.shape[1:]:
        raise RecipeError(f"{member.name} gives {list(two.shape)} for two pictures", form.hint)
    apart, scale = float((two[:1] - one).abs().max()), float(one.abs().max())
    if apart > _TOLERANCE * scale:
        raise RecipeError(
            f"{member.name} answers a picture differently beside another one: its logits of up "
            f"to {scale:.3g} differ by up to {apart:.3g}",
            "is there a BatchNorm without running statistics, or something else that looks "
            "at the whole batch?",
        )


def _run(
    member: UserModel, model: nn.Module, images: Tensor, form: AnswerForm
) -> tuple[Tensor, ...]:
    """Return the outputs for pictures."""
    import torch

    call = f"{member.name} for an input of {list(images.shape)}"
    with member.running(f"fails on an input of {list(images.shape)}"), torch.no_grad():
        output = model(own_copy := images.clone())
    if not torch.equal(own_copy, images):
        raise RecipeError(
            f"{member.name} writes into its input",
            "in forward, write x = x * 2 instead of x *= 2 or x.mul_(2)",
        )
    several = form.accepts_all is not None and isinstance(output, tuple | list)
    outputs = tuple(output) if several else (output,)
    for one in outputs:
        if not isinstance(one, torch.Tensor):
            raise RecipeError(f"{call} gives {type(one).__name__}, not a tensor", form.hint)
    shapes = [tuple(one.shape) for one in outputs]
    accepted = form.accepts_all(shapes) if form.accepts_all else form.accepts(shapes[0])
    if any(shape[:1] != (len(images),) for shape in shapes) or not accepted:
        shown = " and ".join(str(list(shape)) for shape in shapes)
        raise RecipeError(f"{call} gives the shape {shown}", form.hint)
    for one in outputs:
        if one.dtype != torch.float32:
            raise RecipeError(f"{call} gives {one.dtype}", advise_dtype(one.dtype))
    return outputs


def advise_dtype(dtype: torch.dtype) -> str:
    """Return the hint for an output that is not of float32."""
    if dtype.is_complex:
        return (
            "in forward, return y.abs(), or real and imaginary part as floats, for example "
            "torch.cat([y.real, y.imag], 1)"
        )
    return NEEDS_FLOAT if dtype.is_floating_point else "in forward, return y.float() instead of y"
