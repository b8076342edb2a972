"""Samples to answer for a person, and how an answer is shown: defaults of `kit.tasks.interface`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kit.calibration import ModelInputs
from kit.manifest.schema import Scores
from kit.signature import AnyArray, Samples

FIRST_VALUES = 6  # of each output


@dataclass(frozen=True)
class SampleList:
    """Samples that are read one at a time.

    Attributes:
        names: of the samples, for people.
        read: returns the sample at an index; raises `kit.errors.SampleError`.
    """

    names: Sequence[str]
    read: Callable[[int], Samples]


@dataclass(frozen=True)
class PictureSample(Samples):
    """One prepared picture.

    Attributes:
        size: width and height of the picture that it was made of.
    """

    size: tuple[int, int]


@dataclass(frozen=True)
class AnswerContext:
    """What a task knows when it shows an answer.

    Attributes:
        inputs: of the model, with the names of its classes.
        golden: the float model's answers to the golden inputs; None for a bundle without.
        top: number of answers to show, the best first.
        reference: the float model's answer to the same sample; None where the answer is its own,
            or it has none.
        scores: what a classifier answers with; None if the bundle does not say it.
        sample: that is answered; None if the caller does not have it.
    """

    inputs: ModelInputs
    golden: Samples | None
    top: int
    reference: Samples | None = None
    scores: Scores | None = None
    sample: Samples | None = None


@dataclass(frozen=True)
class ShownAnswer:
    """An answer of one file to one sample.

    Attributes:
        lines: for people; the lines of several files are shown side by side.
        record: the same for programs, as JSON.
        note: how the numbers came about, for people; empty if there is nothing to say.
    """

    lines: tuple[str, ...]
    record: Mapping[str, Any]  # Any: of JSON
    note: str = ""


def show_tensors(answer: Samples, count: int = FIRST_VALUES) -> ShownAnswer:
    """Return name, dtype, shape and first values of each output.

    Args:
        answer: of one sample.
        count: number of values.
    """
    lines: list[str] = []
    records = []
    for spec, array in zip(answer.specs, answer[0], strict=True):
        values = [as_json_number(value) for value in array.reshape(-1)[:count]]
        more = ", …" if array.size > count else ""
        lines += [f"{spec.name}: {spec.dtype} {list(spec.shape)}", f"  {_write(values)}{more}"]
        record = {"name": spec.name, "dtype": spec.dtype, "shape": list(spec.shape)}
        records.append({**record, "values": values})
    return ShownAnswer(tuple(lines), {"outputs": records})


def as_json_number(value: AnyArray) -> bool | int | float:
    """Return a numpy scalar as Python's."""
    number: bool | int | float = value.item()
    return number


def _write(values: Sequence[float]) -> str:
    return ", ".join(str(v) if isinstance(v, bool | int) else f"{v:.4g}" for v in values)
