"""Run a float network in this process, and export graphs."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from kit.errors import WeightsError
from kit.signature import Samples, Tensors, describe, join

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


def take_output(model: nn.Module, keys: Sequence[str]) -> nn.Module:
    """Let a network return one entry where it returns a dict, as torchvision's do.

    Its class becomes a subclass of the same name, so that names of layers and of weights stay,
    and tracing sees the choice. torch's parametrizations change classes in the same way.

    Args:
        model: is changed in place.
        keys: of the entry, the first that the dict has; a dict with none of them is returned.

    Returns:
        The model.
    """
    kind: type[nn.Module] = type(model)

    @functools.wraps(kind.forward)  # tracing reads the names of its parameters
    def forward(self: nn.Module, *args: object, **kwargs: object) -> object:
        answer = kind.forward(self, *args, **kwargs)
        if not isinstance(answer, Mapping):
            return answer
        return next((answer[key] for key in keys if key in answer), answer)

    model.__class__ = type(kind.__name__, (kind,), {"forward": forward})
    return model


def export_program(
    model: GraphModule, example: tuple[Tensor, ...], most: int = 1
) -> ExportedProgram:
    """Return the program of a graph.

    Args:
        model: the graph.
        example: inputs of one inference, of one sample.
        most: the program takes 1 to so many samples in one inference.

    Raises:
        Exception: `torch.export` cannot follow the graph, or it fixes the batch.
    """
    import torch

    if most == 1:
        return torch.export.export(model, example)
    batch = torch.export.Dim("batch", min=1, max=most)
    two = tuple(torch.cat([value] * 2) for value in example)  # of one, the one would be fixed
    return torch.export.export(model, two, dynamic_shapes=tuple({0: batch} for _ in two))
