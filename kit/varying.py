"""Dimensions of a file's inputs that may vary, and the words that a recipe gives them in.

``batch=1..8``, ``tokens=8..128``, ``height=64..256/32,width=64..512/32``: name, smallest and
largest length, and after a slash the step, of which every length is a multiple.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from kit.documents import Positive, Record, Text
from kit.error_text import format_message, shorten_value
from kit.errors import BuildError, suggest

if TYPE_CHECKING:
    from torch import Tensor

    Dim = Any  # torch.export.Dim, or a multiple of one, has no common type
    Shapes = tuple[dict[int, Dim], ...]

MAX_RANK = 8
BATCH = "batch"
_FORM = "NAME=MIN..MAX, or NAME=MIN..MAX/STEP"
_PART = re.compile(r"([A-Za-z_]+)=([0-9]{1,6})\.\.([0-9]{1,6})(?:/([0-9]{1,6}))?")
_MULTIPLE = r"^\s*{} = ([0-9]+)\*_"  # how torch.export names what a network takes
_NARROWER = r"^\s*{} = Dim\([^)]*?(?:min=([0-9]+))?(?:, )?(?:max=([0-9]+))?\)"
_CONSTANT = r"^\s*{} = ([0-9]+)$"


class VaryingDimension(Record):
    """A dimension of inputs that may vary; shapes have the recipe's own length, or a batch of one.

    Attributes:
        axis: of every input; a batch is the first one of every output, too.
        name: ``batch``, ``tokens``, ``height`` or ``width``.
        min: smallest length.
        max: largest length.
        step: every length is a multiple of it.
    """

    axis: Annotated[int, Field(ge=0, lt=MAX_RANK)]
    name: Text
    min: Positive
    max: Positive
    step: Positive = 1

    @property
    def words(self) -> str:
        """Return it as a recipe has it."""
        return f"{self.name}={self.min}..{self.max}" + (f"/{self.step}" if self.step > 1 else "")

    def takes(self, length: int) -> bool:
        """Return whether a length is one of its own."""
        return self.min <= length <= self.max and length % self.step == 0


Varying = tuple[VaryingDimension, ...]


def parse_varying(
    text: str, limits: Mapping[str, tuple[int, int]], axes: Mapping[str, int]
) -> Varying:
    """Return the dimensions that a recipe names, in the order of their axes.

    Args:
        text: such as ``batch=1..8,tokens=8..128``.
        limits: smallest and largest length by name.
        axes: by name.

    Raises:
        ValueError: it is not of this form, or a length is out of range.
    """
    found: dict[str, VaryingDimension] = {}
    for part in text.split(","):
        match = _PART.fullmatch(part.strip())
        if match is None:
            subject = shorten_value(part.strip()) if "," in text else "it"
            raise ValueError(f"{subject} is not {_FORM}, such as batch=1..8")
        name, low, high, step = match[1], int(match[2]), int(match[3]), int(match[4] or 1)
        if name not in limits:
            raise ValueError(
                f"no dimension is called {shorten_value(name)}: {suggest(name, [*limits])}"
            )
        if name in found:
            raise ValueError(f"it names {name} twice")
        if fault := _find_fault(name, (low, high, step), limits[name]):
            raise ValueError(fault)
        found[name] = VaryingDimension(axis=axes[name], name=name, min=low, max=high, step=step)
    return tuple(sorted(found.values(), key=lambda one: one.axis))


def _find_fault(name: str, given: tuple[int, int, int], limits: tuple[int, int]) -> str:
    """Return what is wrong with smallest, largest and step of a dimension; empty if nothing is."""
    low, high, step = given
    if name == BATCH and not (low == 1 and 2 <= high <= limits[1] and step == 1):
        return f"a batch is 1 to 2 samples, or to up to {limits[1]}: batch=1..N"
    if low >= high:
        return f"{name} begins at {low}, which is not below its end {high}"
    if low < limits[0] or high > limits[1]:
        return f"{name} is {limits[0]} to {limits[1]}"
    if step == 0 or low % step or high % step:
        return f"{low} and {high} are not both multiples of {step}"
    return ""


def find_axes(channels_last: bool) -> dict[str, int]:
    """Return the axis of each dimension, by name."""
    height = 1 if channels_last else 2
    return {BATCH: 0, "tokens": 1, "height": height, "width": height + 1}


def widen(example: tuple[Tensor, ...], varying: Varying) -> tuple[Tensor, ...]:
    """Return the inputs of one inference with a batch of two if the batch varies.

    A batch of one would be taken for fixed, by tracing and by `torch.export`.
    """
    import torch

    if not any(one.name == BATCH for one in varying):
        return example
    return tuple(torch.cat([value] * 2) for value in example)


def make_shapes(count: int, varying: Varying) -> Shapes:
    """Return the varying dimensions of inputs for `torch.export`.

    Args:
        count: of inputs.
        varying: dimensions of each.
    """
    import torch

    dims: dict[int, Dim] = {}
    for one in varying:
        if one.step == 1:
            dims[one.axis] = torch.export.Dim(one.name, min=one.min, max=one.max)
        else:
            steps = (one.min // one.step, one.max // one.step)
            part = torch.export.Dim(f"{one.name}_steps", min=steps[0], max=steps[1])
            dims[one.axis] = one.step * part
    return tuple(dict(dims) for _ in range(count))


def explain_fixed(exc: BaseException, varying: Varying) -> BuildError | None:
    """Return in one sentence that a network does not take every size; None for other errors.

    Args:
        exc: from `torch.export`, whose errors have no public base.
        varying: dimensions that were asked for.
    """
    text = format_message(exc)
    if "Constraints violated" not in text:
        return None
    faults = list(_find_fixed(text, varying))
    if not faults:
        asked = ",".join(one.words for one in varying if one.name != BATCH)
        return BuildError(
            f"the network does not take every size of {asked or varying[0].words}",
            "let the sizes be multiples of its strides, such as height=64..256/32, or leave "
            "--dynamic out",
        )
    return BuildError("; ".join(fault for fault, _ in faults), faults[0][1])


def _find_fixed(text: str, varying: Varying) -> Iterator[tuple[str, str]]:
    """Yield what an error says of each dimension, with what to do."""
    for one in varying:
        name = re.escape(one.name if one.step == 1 else f"{one.name}_steps")
        if match := re.search(_CONSTANT.format(name), text, re.MULTILINE):
            fixed = f"{one.name} {int(match[1]) * one.step}"
            if one.name == BATCH:  # torch has seen two samples
                fixed = "one number of samples"
            yield (
                f"{one.words}: the network takes {fixed} only, which its forward fixes",
                f"leave {one.name} out of --dynamic, or compute with the sizes of the input there",
            )
        elif match := re.search(_MULTIPLE.format(name), text, re.MULTILINE):
            step = int(match[1]) * one.step
            low, high = -(-one.min // step) * step, one.max // step * step
            hint = f"leave {one.name} out of --dynamic"
            if low < high:
                hint = f"write --dynamic {one.name}={low}..{high}/{step}"
            yield f"{one.words}: the network takes multiples of {step} only", hint
        elif match := re.search(_NARROWER.format(name), text, re.MULTILINE):
            low, high = (
                int(part) * one.step if part else own
                for part, own in zip(match.groups(), (one.min, one.max), strict=True)
            )
            hint = f"leave {one.name} out of --dynamic"
            if low < high:
                changes = {"min": low, "max": high}
                hint = f"write --dynamic {one.model_copy(update=changes).words}"
            yield f"{one.words}: the network takes {one.name} {low} to {high} only", hint
