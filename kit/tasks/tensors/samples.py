"""Samples of tensors: ``.npz`` files, each with the inputs of one inference.

    samples/000.npz     np.savez("000.npz", input_ids=ids, attention_mask=mask)
    samples/001.npz

The arrays have the names of the parameters of the model's ``forward``, and the shapes of its
arguments, including the batch of one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kit import arrays
from kit.calibration import ModelInputs
from kit.documents import decode_name, describe_read_failure
from kit.errors import SampleError
from kit.files import untrusted
from kit.notices import Notice
from kit.signature import AnyArray, Samples, Tensors, TensorSpec, describe, join
from kit.tasks.evaluation import EvaluationSet

_HINT = 'write each with numpy: np.savez("000.npz", x=array), x as in forward(self, x)'
_MAX_FILE = 2**31


@dataclass(frozen=True)
class SampleFile:
    """One ``.npz`` file.

    Attributes:
        name: path inside the folder of samples, for messages.
        path: of the file.
    """

    name: str
    path: Path

    def read_bytes(self) -> bytes:
        """Return the content.

        Raises:
            SampleError: it cannot be read.
        """
        try:
            return untrusted.read_file(self.path, _MAX_FILE)
        except (OSError, ValueError) as exc:
            raise SampleError(
                f"cannot read {self.path}: {describe_read_failure(exc)}", _HINT
            ) from exc

    def read(self) -> dict[str, AnyArray]:
        """Return the arrays by name.

        Raises:
            SampleError: it is not an ``.npz`` file of numbers.
        """
        try:
            return arrays.read_archive(self.read_bytes())
        except ValueError as exc:
            raise SampleError(f"{self.path} cannot be used: {exc}", _HINT) from exc

    def digest(self) -> str:
        """Return the SHA-256 of the content, in hex."""
        return hashlib.sha256(self.read_bytes()).hexdigest()


def list_samples(path: Path) -> list[SampleFile]:
    """Return the ``.npz`` files below a folder, sorted; or a file itself.

    Raises:
        SampleError: there are none, or the folder cannot be read.
    """
    if path.is_file():
        return [SampleFile(decode_name(path.name), path)]
    try:
        paths = sorted(p for p in path.rglob("*.npz") if p.is_file())
    except OSError as exc:
        raise SampleError(f"cannot read {path}: {exc.strerror or exc}", _HINT) from exc
    if not paths:
        raise SampleError(f"there are no .npz files in {path}", _HINT)
    return [SampleFile(decode_name(str(p.relative_to(path))), p) for p in paths]


def order_inputs(arrays_: dict[str, AnyArray], names: Sequence[str]) -> dict[str, AnyArray]:
    """Return arrays in the order of a model's parameters.

    Args:
        arrays_: by parameter name, or ``arr_0`` and so on, numpy's names for positional arrays.
        names: of the parameters.

    Raises:
        ValueError: an array has another name.
    """
    numbered = [f"arr_{i}" for i in range(len(arrays_))]
    if sorted(arrays_) == sorted(numbered) and len(arrays_) <= len(names):
        return dict(zip(names, (arrays_[n] for n in numbered), strict=False))
    strangers = [name for name in arrays_ if name not in names]
    if strangers:
        raise ValueError(
            f"it has an array {strangers[0]!r}, and forward takes {', '.join(names) or 'nothing'}"
        )
    return {name: arrays_[name] for name in names if name in arrays_}


def read_specs(sample: SampleFile, names: Sequence[str]) -> tuple[tuple[TensorSpec, ...], Tensors]:
    """Return a sample's specs and arrays, in the order of a model's parameters.

    Raises:
        SampleError: an array has a name that is no parameter's, a dtype that no input can have, or
            values that are NaN.
    """
    try:
        ordered = order_inputs(sample.read(), names)
        specs = tuple(describe(name, value) for name, value in ordered.items())
    except ValueError as exc:
        hint = "float64 is numpy's default: array.astype(np.float32)"
        raise SampleError(
            f"{sample.path} cannot be used: {exc}", hint if "float64" in str(exc) else _HINT
        ) from exc
    for name, value in ordered.items():
        if count := int(np.isnan(value).sum()):  # infinity is usable: attention masks have it
            raise SampleError(
                f"{sample.path} cannot be used: NaN in {name}, {count} of {value.size} values",
                "replace NaN when you write the sample, for example by np.nan_to_num(array)",
            )
    return specs, tuple(ordered.values())


def read_samples(chosen: Sequence[SampleFile], inputs: ModelInputs) -> Samples:
    """Read samples of a model's inputs.

    Raises:
        SampleError: one has other names, shapes or dtypes than the inputs.
    """
    names = [spec.name for spec in inputs.specs]
    rows = []
    for sample in chosen:
        specs, values = read_specs(sample, names)
        if specs != inputs.specs:
            raise SampleError(
                f"{sample.path} holds {_show(specs)}, and the model takes {_show(inputs.specs)}",
                "all samples have the shapes of the first one",
            )
        rows.append(values)
    return join(inputs.specs, rows)


def _show(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(f"{s.name}: {s.dtype} {list(s.shape)}" for s in specs)


@dataclass(frozen=True)
class TensorCalibration:
    """The calibration set: samples that set activation ranges.

    Attributes:
        source: name of their folder.
        chosen: the samples, in the order of their names.
        rest: the other samples of the folder.
        digests: SHA-256 of each chosen sample, in hex.
    """

    source: str
    chosen: tuple[SampleFile, ...]
    rest: tuple[SampleFile, ...]
    digests: tuple[str, ...]
    output_margin: float = 1.0
    notices: tuple[Notice, ...] = ()

    @property
    def count(self) -> int:
        """Return the number of samples."""
        return len(self.chosen)

    @property
    def sha256(self) -> str:
        """Return the SHA-256 of the set, in hex."""
        return hashlib.sha256("\n".join(self.digests).encode()).hexdigest()

    def load(self, inputs: ModelInputs) -> Samples:
        """Read the samples."""
        return read_samples(self.chosen, inputs)


def open_calibration(path: Path, count: int, seed: int) -> TensorCalibration:
    """Return up to `count` randomly drawn samples of a folder.

    Raises:
        SampleError: there are none.
    """
    samples = list_samples(path)
    size = min(count, len(samples))
    drawn = np.random.default_rng(seed).choice(len(samples), size, replace=False).tolist()
    chosen = tuple(samples[i] for i in sorted(drawn))
    rest = tuple(sample for i, sample in enumerate(samples) if i not in set(drawn))
    source = decode_name(path.resolve().name)
    return TensorCalibration(source, chosen, rest, tuple(s.digest() for s in chosen))


@dataclass(frozen=True)
class TensorSet(EvaluationSet):
    """Samples to evaluate on; they have no labels, so the float model's answers are the reference.

    Attributes:
        samples: not yet read.
        inputs: of the model.
    """

    source: str
    sha256: str
    left_out: int
    notices: tuple[Notice, ...]
    samples: tuple[SampleFile, ...]
    inputs: ModelInputs

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def labelled(self) -> bool:
        """Return False."""
        return False

    def load(self, start: int, stop: int) -> tuple[Samples, Sequence[None]]:
        """Return the samples of a range of indices, and None for each target."""
        part = self.samples[start:stop]
        if self.inputs.feedback:
            from kit.tasks.tensors.sequences import read_sequences

            return read_sequences(part, self.inputs), [None] * len(part)
        return read_samples(part, self.inputs), [None] * len(part)
