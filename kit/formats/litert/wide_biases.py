"""Biases of layers with int16 activations, which LiteRT's kernels add in 64 bits.

litert-torch writes 32 bits, which convolutions refuse ("INT32 != INT64").
"""

from __future__ import annotations

import numpy as np

from kit.errors import BuildError
from kit.formats.litert.flatbuffer import Model, Tensor, import_schema, list_operators, name_type

_BIAS = {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 2, "TRANSPOSE_CONV": 3}
_LIMIT = 2**31 - 1  # at which litert-torch clips


def widen_biases(model: Model) -> None:
    """Store the biases of layers with int16 inputs in 64 bits.

    Args:
        model: is changed.

    Raises:
        BuildError: a bias was clipped to 32 bits.
    """
    for name, graph, operator in list_operators(model):
        place = _BIAS.get(name)
        if place is None or len(operator.inputs) <= place or operator.inputs[place] < 0:
            continue
        inputs = [graph.tensors[index] for index in operator.inputs]
        is_wide = any(name_type(one) == "INT16" for one in inputs)
        if is_wide and name_type(inputs[place]) == "INT32":
            _widen(model, inputs[place])


def _widen(model: Model, bias: Tensor) -> None:
    schema = import_schema()
    values = np.asarray(model.buffers[bias.buffer].data, np.uint8).view(np.int32)
    if (np.abs(values.astype(np.int64)) >= _LIMIT).any():
        raise BuildError(
            f"the bias {bias.name.decode()} is too large for steps of int16 activations",
            "leave int16-activations out of --precision, or name the layer with --keep-float",
        )
    content = schema.BufferT()
    content.data = values.astype(np.int64).view(np.uint8)
    model.buffers.append(content)
    bias.buffer, bias.type = len(model.buffers) - 1, schema.TensorType.INT64
