"""Integer weights of LiteRT files.

Int8 weights are dequantized as the file is loaded, like those of float16. Int4 weights are inputs
of FULLY_CONNECTED with one float16 scale for each block of a row; it quantizes its float input to
int8 itself, one scale per row. Both are what ai-edge-quantizer writes, with its own weights.

https://ai.google.dev/edge/litert/models/post_training_quant
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kit.errors import BuildError
from kit.formats.litert.flatbuffer import (
    Model,
    Subgraph,
    Tensor,
    add_operator_code,
    import_schema,
    list_operators,
)
from kit.formats.litert.narrow_constants import (
    NarrowConstant,
    drop_unused_buffers,
    narrow_constants,
    read_floats,
)
from kit.formats.stored_weights import StoredWeight, UnplacedWeights

_DEQUANTIZE_VERSION = 5  # the first with a scale for each channel
# Version of the operator: that of ai-edge-litert 2.3; which one brought blocks is not documented.
_LAYER, _LAYER_VERSION = "FULLY_CONNECTED", 14


def store_integers(model: Model, weights: Sequence[StoredWeight]) -> None:
    """Store weights of a float file as integers.

    Args:
        model: is changed.
        weights: of layers that the file has in float.

    Raises:
        BuildError: one is not in the file as the graph has it, the file computes its layer with an
            operator that takes no int4 weights, or a scale of int4 weights is beyond float16.
    """
    channels = [one for one in weights if one.bits == 8]
    if channels:
        _store_channels(model, channels)
    groups = [one for one in weights if one.bits != 8]
    if groups:
        _store_groups(model, groups)


def _store_channels(model: Model, weights: Sequence[StoredWeight]) -> None:
    schema = import_schema()
    unplaced = UnplacedWeights(weights, "LiteRT")

    def narrow(values: NDArray[np.float32]) -> NarrowConstant | None:
        weight = unplaced.find(values)
        if weight is None:
            return None
        order = next(weight.list_orders(values))
        parameters = schema.QuantizationParametersT()
        parameters.scale = weight.scales
        parameters.zeroPoint = np.zeros(len(weight.scales), np.int64)
        parameters.quantizedDimension = order.index(weight.axis)
        content = np.ascontiguousarray(weight.values.transpose(order)).reshape(-1)
        return NarrowConstant(content.view(np.uint8), schema.TensorType.INT8, parameters)

    narrow_constants(model, narrow, _DEQUANTIZE_VERSION)
    unplaced.check()


def _store_groups(model: Model, weights: Sequence[StoredWeight]) -> None:
    layers = [(g, op) for name, g, op in list_operators(model) if name == _LAYER]
    number = add_operator_code(model, "FULLY_CONNECTED", _LAYER_VERSION)
    unplaced = UnplacedWeights(weights, "LiteRT")
    placed: dict[int, StoredWeight | None] = {}  # by the tensor, which layers may share
    for graph, operator in layers:
        tensor = graph.tensors[operator.inputs[1]]
        if id(tensor) not in placed:
            values = read_floats(model, tensor)
            weight = None if values is None else unplaced.find(values)
            placed[id(tensor)] = weight
            if weight is not None:
                _quantize(model, graph, tensor, weight)
        if placed[id(tensor)] is not None:
            operator.opcodeIndex = number
            operator.builtinOptions = copy.copy(operator.builtinOptions)
            operator.builtinOptions.asymmetricQuantizeInputs = True  # as XNNPACK always does
    unplaced.check()
    drop_unused_buffers(model)


def _quantize(model: Model, graph: Subgraph, tensor: Tensor, weight: StoredWeight) -> None:
    """Turn a float constant [out, in] into an int4 one with blocks.

    Raises:
        BuildError: a scale is beyond float16.
    """
    with np.errstate(over="ignore"):
        halves = weight.scales.astype(np.float16)
    if not np.isfinite(halves).all():
        raise BuildError(
            f"{weight.name} needs scales up to {weight.scales.max():g}, and LiteRT stores those of "
            f"int4 weights in float16, up to {np.finfo(np.float16).max:g}",
            "name the layer with --keep-float, or leave the precision out of --precision",
        )
    schema = import_schema()
    content, scales = schema.BufferT(), schema.BufferT()
    nibbles = weight.values.reshape(-1).view(np.uint8) & 0x0F
    content.data = nibbles[0::2] | (nibbles[1::2] << 4)
    scales.data = halves.reshape(-1).view(np.uint8)
    model.buffers += [content, scales]
    table = schema.TensorT()
    table.name, table.type = tensor.name + b"_scales", schema.TensorType.FLOAT16
    table.shape, table.buffer = list(weight.scales.shape), len(model.buffers) - 1
    graph.tensors.append(table)
    blocks = schema.BlockwiseQuantizationT()
    blocks.scales, blocks.zeroPoints = len(graph.tensors) - 1, -1
    blocks.blockSize = weight.values.shape[1] // weight.scales.shape[1]
    tensor.buffer, tensor.type = len(model.buffers) - 2, schema.TensorType.INT4
    tensor.quantization = schema.QuantizationParametersT()
    tensor.quantization.detailsType = schema.QuantizationDetails.BlockwiseQuantization
    tensor.quantization.details = blocks
