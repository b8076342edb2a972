"""Signatures: the named inputs and outputs of a model, with dtypes and shapes, and samples."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, field_validator

from kit.documents import Positive, Record, Text, describe_fault
from kit.varying import MAX_RANK, Varying

DType = Literal["float32", "float16", "int64", "int32", "uint8", "bool"]
DTYPES: tuple[DType, ...] = ("float32", "float16", "int64", "int32", "uint8", "bool")
MAX_TENSORS = 32
MAX_ELEMENTS = 2**30
_WORD = re.compile(r"([a-z0-9]+):([0-9]{1,10}(?:,[0-9]{1,10})*)?")

AnyArray = NDArray[Any]  # with one of `DTYPES`, which numpy's type hints cannot express
FloatArray = NDArray[np.float32]
Tensors = tuple[AnyArray, ...]  # one array per input or output


class TensorSpec(Record):
    """One input or output of a model.

    Attributes:
        name: of the parameter of ``forward``, or of the output.
        shape: of one inference; the first dimension is usually a batch of one.
        dtype: numpy's name of it.
    """

    name: Text
    shape: Annotated[tuple[Positive, ...], Field(max_length=MAX_RANK)]
    dtype: DType = "float32"

    @field_validator("shape")
    @classmethod
    def _fits_into_memory(cls, shape: tuple[int, ...]) -> tuple[int, ...]:
        if math.prod(shape) > MAX_ELEMENTS:
            raise ValueError(f"{list(shape)} has more than {MAX_ELEMENTS} values")
        return shape

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Return the shape of a sample in stacked samples: without a leading batch of one."""
        return self.shape[1:] if self.shape[:1] == (1,) else self.shape

    @property
    def elements(self) -> int:
        """Return the number of values of one inference."""
        return math.prod(self.shape)

    @property
    def numpy_type(self) -> np.dtype[np.generic]:
        """Return the dtype of its values in files: little-endian."""
        return np.dtype(self.dtype).newbyteorder("<")

    @property
    def size(self) -> int:
        """Return the size of one inference in bytes."""
        return self.elements * self.numpy_type.itemsize


class Signature(Record):
    """The inputs of a model in the order of its ``forward``, and its outputs.

    Attributes:
        varying: dimensions that may vary, in every file of the bundle.
    """

    inputs: Annotated[tuple[TensorSpec, ...], Field(min_length=1, max_length=MAX_TENSORS)]
    outputs: Annotated[tuple[TensorSpec, ...], Field(min_length=1, max_length=MAX_TENSORS)]
    varying: Annotated[Varying, Field(max_length=MAX_RANK)] = ()

    @property
    def max_batch(self) -> int:
        """Return the largest number of samples in one inference."""
        return max((one.max for one in self.varying if one.axis == 0), default=1)

    @field_validator("inputs", "outputs")
    @classmethod
    def _names_are_unique(cls, specs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
        names = [spec.name for spec in specs]
        if len(set(names)) < len(names):
            raise ValueError("two tensors have the same name")
        return specs


@dataclass(frozen=True)
class Samples:
    """Values of several tensors for N inferences.

    Attributes:
        specs: of the tensors.
        arrays: per tensor [N, *spec.sample_shape].
    """

    specs: tuple[TensorSpec, ...]
    arrays: Tensors

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: int) -> Tensors:
        """Return the values of one inference, each of its spec's shape."""
        return tuple(
            array[index].reshape(spec.shape)
            for spec, array in zip(self.specs, self.arrays, strict=True)
        )

    def take(self, indices: Sequence[int] | slice) -> Samples:
        """Return the samples at some indices, or in a slice."""
        return Samples(self.specs, tuple(array[indices] for array in self.arrays))

    def pack(self) -> bytes:
        """Return the values in the layout of runners: inference by inference, little-endian."""
        return b"".join(
            value.astype(spec.numpy_type).tobytes()
            for index in range(len(self))
            for spec, value in zip(self.specs, self[index], strict=True)
        )

    @property
    def are_finite(self) -> bool:
        """Whether no value is NaN or infinite."""
        return all(bool(np.isfinite(array).all()) for array in self.arrays)


Feedback = tuple[tuple[int, int], ...]  # positions of an input and of the output that it takes


@dataclass(frozen=True)
class Sequences(Samples):
    """Samples of a model with a state: outputs of an inference are inputs of the next one.

    Attributes:
        starts: indices of the first inference of each sequence, whose state is in the arrays;
            those of later inferences hold zeros for it.
        feedback: which inputs are states.
    """

    starts: tuple[int, ...]
    feedback: Feedback

    def carry(self, index: int, before: Tensors | None) -> Tensors:
        """Return the inputs of an inference, given the outputs of the one before it."""
        values = list(self[index])
        if before is not None and index not in self.starts:
            for taker, giver in self.feedback:
                spec = self.specs[taker]
                values[taker] = before[giver].reshape(spec.shape).astype(spec.dtype)
        return tuple(values)


def unpack(specs: tuple[TensorSpec, ...], content: bytes) -> Samples:
    """Return the samples that `Samples.pack` packed.

    Raises:
        ValueError: the number of bytes is not a multiple of one inference's.
    """
    layout = np.dtype([(str(i), s.numpy_type, s.sample_shape) for i, s in enumerate(specs)])
    if len(content) % layout.itemsize:
        raise ValueError(f"{len(content)} bytes are not a multiple of {layout.itemsize}")
    table = np.frombuffer(content, layout)
    return Samples(
        specs,
        tuple(np.ascontiguousarray(table[str(i)]).astype(s.dtype) for i, s in enumerate(specs)),
    )


def resize_batch(specs: Sequence[TensorSpec], size: int) -> tuple[TensorSpec, ...]:
    """Return the specs of inferences of several samples, for those of one."""
    return tuple(spec.model_copy(update={"shape": (size, *spec.shape[1:])}) for spec in specs)


def resize(samples: Samples, lengths: Mapping[int, int], from_end: bool = False) -> Samples:
    """Return samples of other lengths: cut off, or repeated from their beginning.

    Args:
        samples: of shapes with a leading batch of one.
        lengths: by axis of every input, which is not the batch.
        from_end: cut off the beginning, as of texts whose padding is there.
    """
    arrays = list(samples.arrays)
    for axis, length in lengths.items():
        for number, array in enumerate(arrays):
            own = array.shape[axis]
            first = max(own - length, 0) if from_end else 0
            arrays[number] = array.take((first + np.arange(length)) % own, axis)
    specs = (
        spec.model_copy(update={"shape": (*spec.shape[:1], *array.shape[1:])})
        for spec, array in zip(samples.specs, arrays, strict=True)
    )
    return Samples(tuple(specs), tuple(arrays))


def group(samples: Samples, size: int) -> Samples:
    """Return samples as inferences of several samples each; a rest is left out.

    Args:
        samples: N of them, of shapes with a leading batch of one.
        size: of each inference.

    Returns:
        N // size inferences, whose specs have `size` in place of the one.
    """
    count = len(samples) // size
    return Samples(
        resize_batch(samples.specs, size),
        tuple(
            array[: count * size].reshape(count, size, *array.shape[1:]) for array in samples.arrays
        ),
    )


def stack(name: str, batch: AnyArray) -> Samples:
    """Return samples for a model with one input, whose first dimension is the batch.

    Args:
        name: of the input.
        batch: [N, …].
    """
    return Samples((describe(name, batch[:1]),), (batch,))


def save(samples: Samples, path: Path) -> None:
    """Write the arrays of samples to a temporary file, for `load`."""
    with path.open("wb") as file:
        for array in samples.arrays:
            np.save(file, array, allow_pickle=False)


def load(specs: tuple[TensorSpec, ...], path: Path) -> Samples:
    """Read a file of `save` that this build wrote; `kit.arrays` reads untrusted files."""
    with path.open("rb") as file:
        return Samples(specs, tuple(np.load(file, allow_pickle=False) for _ in specs))


def join(specs: tuple[TensorSpec, ...], rows: Sequence[Tensors]) -> Samples:
    """Stack the values of single inferences, each of its spec's shape."""
    columns = zip(*rows, strict=True)
    return Samples(
        specs,
        tuple(
            np.stack([value.reshape(spec.sample_shape) for value in column])
            for spec, column in zip(specs, columns, strict=True)
        ),
    )


def describe(name: str, value: AnyArray) -> TensorSpec:
    """Return the spec of an array.

    Raises:
        ValueError: it is empty, or its dtype is not one of `DTYPES`.
    """
    kind = str(value.dtype)
    if kind not in DTYPES:
        raise ValueError(f"{name} is {kind}, not one of {', '.join(DTYPES)}")
    if not value.size:
        raise ValueError(f"{name} is empty")
    return _make_spec(name, value.shape, kind)


def format_specs(specs: Sequence[TensorSpec]) -> str:
    """Return dtypes and shapes in one word: ``float32:1,3,224,224;int64:1,16``."""
    return ";".join(f"{spec.dtype}:{','.join(map(str, spec.shape))}" for spec in specs)


def parse_specs(text: str) -> tuple[TensorSpec, ...]:
    """Return the tensors that `format_specs` wrote, named by their positions.

    Raises:
        ValueError: it is not such a word.
    """
    specs = []
    for number, word in enumerate(text.split(";")):
        match = _WORD.fullmatch(word)
        if match is None or number >= MAX_TENSORS:
            raise ValueError(f"{text[:200]!r} does not describe tensors")
        shape = tuple(map(int, match[2].split(","))) if match[2] else ()
        specs.append(_make_spec(str(number), shape, match[1]))
    return tuple(specs)


def _make_spec(name: str, shape: tuple[int, ...], dtype: str) -> TensorSpec:
    try:
        return TensorSpec.model_validate({"name": name, "shape": shape, "dtype": dtype})
    except ValidationError as exc:
        raise ValueError(describe_fault(exc)) from exc
