"""Biases that litert-torch stores in another form than LiteRT's kernels take.

Layers with int16 activations add biases in 64 bits; litert-torch writes 32, which convolutions
refuse ("INT32 != INT64"). And if all biases of a layer are equal, it quantizes the first and writes
it for each output, though outputs have steps of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kit.errors import BuildError
from kit.formats.litert.flatbuffer import Model, Tensor, import_schema, list_operators, name_type

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BIAS = {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 2, "TRANSPOSE_CONV": 3}
_LIMIT = 2**31 - 1  # at which litert-torch clips


def spread_equal_biases(model: Model) -> None:
    """Quantize biases that are all equal by the step of each output.

    Args:
        model: is changed.
    """
    for name, graph, operator in list_operators(model):
        place = _BIAS.get(name)
        if place is None or len(operator.inputs) <= place or operator.inputs[place] < 0:
            continue
        bias = graph.tensors[operator.inputs[place]]
        steps = None if bias.quantization is None else bias.quantization.scale
        if name_type(bias) == "INT32" and steps is not None and len(steps) > 1:
            _spread(model, bias, np.asarray(steps, np.float64))


def _spread(model: Model, bias: Tensor, steps: NDArray[np.float64]) -> None:
    values = np.asarray(model.buffers[bias.buffer].data, np.uint8).view(np.int32)
    if len(values) != len(steps) or (values != values[0]).any():
        return
    spread = np.clip(np.rint(values[0] * steps[0] / steps), -_LIMIT, _LIMIT).astype(np.int32)
    _store(model, bias, spread)


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
    _store(model, bias, values.astype(np.int64))
    bias.type = schema.TensorType.INT64


def _store(model: Model, bias: Tensor, values: NDArray[np.integer]) -> None:
    """Store values in a buffer of their own, as tensors of equal values share one."""
    content = import_schema().BufferT()
    content.data = values.view(np.uint8)
    model.buffers.append(content)
    bias.buffer = len(model.buffers) - 1
