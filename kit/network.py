"""Run a float network in this process, and export graphs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from kit.errors import WeightsError
from kit.signature import Samples, Sequences, Tensors, describe, join
from kit.varying import Varying, explain_fixed, make_shapes, widen

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.export import ExportedProgram
    from torch.fx import GraphModule


def run_network(
    model: nn.Module, samples: Samples, names: Sequence[str] = (), at_once: int = 1
) -> Samples:
    """Return the outputs of a network in eval mode.

    Args:
        model: takes one tensor per input, and returns a tensor or a tuple of tensors.
        samples: of its inputs.
        names: of its outputs; by default ``output``, or ``output_0`` and so on.
        at_once: batch size, for a model whose inputs have a batch dimension.

    Raises:
        WeightsError: an output is NaN or infinite.
        ValueError: an output has a dtype that signatures do not support.
    """
    import torch

    rows: list[Tensors] = []
    with torch.inference_mode():
        for start in range(0, len(samples), at_once):
            part = samples.take(slice(start, start + at_once))
            inputs = part[0] if at_once == 1 else part.arrays
            # Copy the values: a model may write into its input.
            answer = model(*(torch.from_numpy(value.copy()) for value in inputs))
            outputs = (answer,) if isinstance(answer, torch.Tensor) else tuple(answer)
            arrays = [output.numpy() for output in outputs]
            if at_once == 1:
                rows.append(tuple(arrays))
            else:
                rows += zip(*(np.split(array, len(part)) for array in arrays), strict=True)
    output_names = names or (
        [f"output_{i}" for i in range(len(rows[0]))] if rows[0][1:] else ["output"]
    )
    specs = tuple(describe(name, value) for name, value in zip(output_names, rows[0], strict=True))
    answers = join(specs, rows)
    broken = sum(not all(np.isfinite(value).all() for value in row) for row in rows)
    if broken:
        raise WeightsError(
            f"the float model answers {broken} of {len(rows)} inputs with NaN or infinity",
            "its weights are too large, or a BatchNorm has a negative variance: train it again",
        )
    return answers


def run_sequences(
    model: nn.Module, samples: Sequences, names: Sequence[str] = ()
) -> tuple[Samples, Samples]:
    """Return all inputs of a network with a state, and its outputs; see `run_network`.

    Args:
        model: takes one tensor per input, and returns a tuple of tensors.
        samples: of its inputs.
        names: of its outputs.

    Raises:
        WeightsError: an output is NaN or infinite.
    """
    inputs: list[Tensors] = []
    parts: list[Samples] = []
    before: Tensors | None = None
    for index in range(len(samples)):
        inputs.append(samples.carry(index, before))
        parts.append(run_network(model, join(samples.specs, inputs[-1:]), names))
        before = parts[-1][0]
    columns = zip(*(part.arrays for part in parts), strict=True)
    answers = Samples(parts[0].specs, tuple(np.concatenate(column) for column in columns))
    return join(samples.specs, inputs), answers


def take_output(model: nn.Module, keys: Sequence[str]) -> nn.Module:
    """Let a network return one entry where it returns a dict, as torchvision's do.

    Args:
        model: is changed in place, see `replace_forward`.
        keys: of the entry, the first that the dict has; a dict with none of them is returned.

    Returns:
        The model.
    """

    def choose(answer: object) -> object:
        if not isinstance(answer, Mapping):
            return answer
        return next((answer[key] for key in keys if key in answer), answer)

    return convert_output(model, choose)


def convert_output(model: nn.Module, convert: Callable[[object], object]) -> nn.Module:
    """Let a network return what a function makes of its answers.

    Args:
        model: is changed in place, see `replace_forward`.
        convert: takes and returns an answer.

    Returns:
        The model.
    """
    own = type(model).forward

    @functools.wraps(own)  # tracing reads the names of its parameters
    def forward(self: nn.Module, *args: object, **kwargs: object) -> object:
        return convert(own(self, *args, **kwargs))

    return replace_forward(model, forward)


def replace_forward(model: nn.Module, forward: Callable[..., object]) -> nn.Module:
    """Give a network another ``forward``, a function whose first parameter is the network.

    Its class becomes a subclass of the same name, so that names of layers and of weights stay,
    and tracing sees the function. torch's parametrizations change classes in the same way.

    Returns:
        The model, which is changed in place.
    """
    kind: type[nn.Module] = type(model)
    model.__class__ = type(kind.__name__, (kind,), {"forward": forward})
    return model


def export_program(
    model: GraphModule, example: tuple[Tensor, ...], varying: Varying = ()
) -> ExportedProgram:
    """Return the program of a graph.

    Args:
        model: the graph.
        example: inputs of one inference, of one sample.
        varying: dimensions of inputs that may vary.

    Raises:
        BuildError: the graph does not take every size of `varying`.
        Exception: `torch.export` cannot follow the graph, or it fixes the batch.
    """
    import torch

    if not varying:
        return torch.export.export(model, example)
    wide, shapes = widen(example, varying), make_shapes(len(example), varying)
    try:
        return torch.export.export(model, wide, dynamic_shapes=shapes)
    except Exception as exc:
        if (fault := explain_fixed(exc, varying)) is None:
            raise
        raise fault from exc
