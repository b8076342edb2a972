"""Samples of models with a state: ``.npz`` files, each with the inputs of a sequence.

    np.savez("000.npz", x=frames, hidden=np.zeros((1, 1, 64), np.float32))

A state has the shape of one inference, as it is before the first one. All other arrays have the
inferences as one more dimension before the others, as many in each of a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kit.errors import RecipeError, SampleError
from kit.signature import AnyArray, Feedback, Sequences, Tensors, TensorSpec, join
from kit.tasks.tensors.samples import SampleFile, read_specs

if TYPE_CHECKING:
    from kit.calibration import ModelInputs
    from kit.recipe import Recipe

_HINT = "a state is as before the first inference, other arrays are [inferences, …]"


def parse_state(recipe: Recipe) -> dict[str, str]:
    """Return the output of each input that is a state.

    Raises:
        RecipeError: an item is not ``INPUT=OUTPUT``, or an input is named twice.
    """
    pairs: dict[str, str] = {}
    for item in recipe.state or ():
        taker, sign, giver = item.partition("=")
        if not (taker and sign and giver):
            raise RecipeError(
                f"state = {item!r} is not INPUT=OUTPUT", "for example: --state hidden=output_1"
            )
        if taker in pairs:
            raise RecipeError(f"state names the input {taker} twice", "name it once")
        pairs[taker] = giver
    return pairs


def check_inputs(states: dict[str, str], parameters: Sequence[str], model: str) -> None:
    """Raise RecipeError if a state is no parameter of a model's ``forward``."""
    for taker, giver in states.items():
        if taker not in parameters:
            raise RecipeError(
                f"state = {taker}={giver}: {model} has no input {taker!r}",
                f"its inputs are {', '.join(parameters)}",
            )


def read_first(
    sample: SampleFile, names: Sequence[str], states: Sequence[str]
) -> tuple[tuple[TensorSpec, ...], Tensors]:
    """Return specs and values of the first inference of a sequence.

    Args:
        sample: of the sequence.
        names: of the model's inputs.
        states: names of those that are states.

    Raises:
        SampleError: an array has a name that is no input's, or no inferences.
    """
    _, values = _split(sample, names, states)
    specs = tuple(
        spec if spec.name in states else spec.model_copy(update={"shape": spec.shape[1:]})
        for spec, _ in values
    )
    return specs, tuple(value if spec.name in states else value[0] for spec, value in values)


def _split(
    sample: SampleFile, names: Sequence[str], states: Sequence[str]
) -> tuple[int, list[tuple[TensorSpec, AnyArray]]]:
    """Return the number of inferences, and spec and value of each array."""
    specs, arrays = read_specs(sample, names)
    values = list(zip(specs, arrays, strict=True))
    lengths = {spec.name: (*spec.shape, 0)[0] for spec in specs if spec.name not in states}
    distinct = set(lengths.values())
    if len(distinct) > 1 or 0 in distinct:
        shown = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        raise SampleError(
            f"{sample.path} has arrays of different numbers of inferences: {shown}", _HINT
        )
    if not distinct:
        raise SampleError(f"{sample.path} has states only, and no inputs of a sequence", _HINT)
    return distinct.pop(), values


def read_sequences(chosen: Sequence[SampleFile], inputs: ModelInputs) -> Sequences:
    """Read sequences, one after the other.

    Raises:
        SampleError: one has other names, shapes or dtypes than the inputs.
    """
    names = [spec.name for spec in inputs.specs]
    states = [names[taker] for taker, _ in inputs.feedback]
    rows: list[Tensors] = []
    starts: list[int] = []
    for sample in chosen:
        specs, _ = read_first(sample, names, states)
        if specs != inputs.specs:
            raise SampleError(
                f"{sample.path} holds inferences of {_show(specs)}, and the model takes "
                f"{_show(inputs.specs)}",
                _HINT,
            )
        steps, values = _split(sample, names, states)
        starts.append(len(rows))
        for step in range(steps):
            rows.append(tuple(_at(spec.name in states, value, step) for spec, value in values))
    joined = join(inputs.specs, rows)
    return Sequences(joined.specs, joined.arrays, tuple(starts), inputs.feedback)


def _at(is_state: bool, value: AnyArray, step: int) -> AnyArray:
    if not is_state:
        return np.asarray(value[step])
    return value if step == 0 else np.zeros_like(value)


def _show(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(f"{s.name}: {s.dtype} {list(s.shape)}" for s in specs)


def match_states(
    states: dict[str, str],
    specs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    model: str,
) -> Feedback:
    """Return the positions of states among a model's inputs and outputs.

    Raises:
        RecipeError: there is no such input or output, or the two differ.
    """
    takers, givers = [s.name for s in specs], [s.name for s in outputs]
    distinct = []
    for taker, giver in states.items():
        if taker not in takers:
            raise RecipeError(
                f"state = {taker}={giver}: the samples have no array {taker!r}",
                "they hold its value before the first inference",
            )
        if giver not in givers:
            raise RecipeError(
                f"state = {taker}={giver}: {model} has no output {giver!r}",
                f"its outputs are {', '.join(givers)}",
            )
        pair = takers.index(taker), givers.index(giver)
        one, other = specs[pair[0]], outputs[pair[1]]
        if (one.shape, one.dtype) != (other.shape, other.dtype):
            raise RecipeError(
                f"state = {taker}={giver}: {taker} is {one.dtype} {list(one.shape)}, and {giver} "
                f"{other.dtype} {list(other.shape)}",
                "a state comes out as it goes in",
            )
        distinct.append(pair)
    return tuple(distinct)
