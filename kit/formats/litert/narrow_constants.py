"""Constants that a LiteRT file stores in a narrow type and dequantizes as it is loaded.

Each gets a DEQUANTIZE operator in front of what reads it. XNNPACK and GPUs read the narrow values
through it, LiteRT's own kernels run it once.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.formats.litert.flatbuffer import (
    Model,
    Subgraph,
    Tensor,
    add_operator_code,
    import_schema,
    make_operator,
    name_type,
)

_MIN_VALUES = 2  # a scalar, such as the bound of a clip, stays as it is


@dataclass(frozen=True)
class NarrowConstant:
    """What replaces a float constant.

    Attributes:
        content: bytes of the values.
        type: number of the schema's `TensorType`.
        quantization: the schema's `QuantizationParametersT`; None for floats.
    """

    content: NDArray[np.uint8]
    type: int
    quantization: object | None = None


# Returns what replaces a constant of these values; None to leave it alone.
Narrow = Callable[[NDArray[np.float32]], NarrowConstant | None]


def narrow_constants(model: Model, narrow: Narrow, version: int) -> None:
    """Store float constants of a file in other types.

    Args:
        model: is changed.
        narrow: chooses them.
        version: of the operator DEQUANTIZE, the first that reads their types.
    """
    number = add_operator_code(model, "DEQUANTIZE", version)
    for graph in model.subgraphs:
        outputs = set(map(int, graph.outputs))
        moved = {}
        for index, tensor in enumerate(list(graph.tensors)):
            values = None if index in outputs else read_floats(model, tensor)
            if values is not None and (narrow_constant := narrow(values)) is not None:
                moved[index] = _store(model, graph, index, narrow_constant)
        for operator in graph.operators:
            inputs = map(int, () if operator.inputs is None else operator.inputs)
            operator.inputs = [moved.get(index, index) for index in inputs]
        made = [make_operator(number, index, wide) for index, wide in moved.items()]
        graph.operators = [*made, *graph.operators]
    drop_unused_buffers(model)


def read_floats(model: Model, tensor: Tensor) -> NDArray[np.float32] | None:
    """Return the values of a float constant; None for any other tensor."""
    data = model.buffers[tensor.buffer].data
    if name_type(tensor) != "FLOAT32" or data is None or len(data) < 4 * _MIN_VALUES:
        return None
    return np.asarray(data, np.uint8).view(np.float32).reshape([int(n) for n in tensor.shape])


def _store(model: Model, graph: Subgraph, index: int, narrow_constant: NarrowConstant) -> int:
    """Change a constant, and return the tensor that has it in float32."""
    constant = graph.tensors[index]
    wide = copy.copy(constant)
    wide.buffer = 0  # the empty one, of tensors that are computed
    wide.name = constant.name + b"_float32"
    graph.tensors.append(wide)
    content = import_schema().BufferT()
    content.data = narrow_constant.content
    model.buffers.append(content)  # others may share the old one
    constant.buffer, constant.type = len(model.buffers) - 1, narrow_constant.type
    constant.quantization = narrow_constant.quantization
    return len(graph.tensors) - 1


def drop_unused_buffers(model: Model) -> None:
    """Empty the buffers of constants that were replaced.

    Args:
        model: is changed.
    """
    used = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors}
    used |= {entry.buffer for entry in model.metadata or []}
    for number, content in enumerate(model.buffers):
        if number not in used:
            content.data = None
