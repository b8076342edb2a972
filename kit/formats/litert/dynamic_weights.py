"""Dynamically quantized layers of LiteRT: int8 weights, activations quantized as they come.

LiteRT has no operator that chooses a scale. Instead FULLY_CONNECTED takes a float input with int8
weights, quantizes that input to int8 itself, and gives a float output. The converter does not make
such operators of a graph that chooses scales, so it gets the float graph, and the int8 weights are
put into the file afterwards.

https://ai.google.dev/edge/litert/models/post_training_quant - dynamic range quantization
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

from kit.errors import BuildError
from kit.formats.graph_encodings import ConstantEncoding
from kit.formats.litert.flatbuffer import (
    Model,
    Operator,
    Subgraph,
    Tensor,
    add_operator_code,
    import_schema,
    list_operators,
    name_type,
    raise_min_runtime,
)
from kit.formats.litert.narrow_constants import read_floats
from kit.formats.litert.quantized_graph import dequantize_constant

if TYPE_CHECKING:
    from torch.fx import GraphModule, Node

_LAYER = "FULLY_CONNECTED"
_VERSION = 12  # of the operator: the first with a scale for each channel beside a float input
_RUNTIME = "2.17.0"  # the first that has it


def take_weights(graph: GraphModule) -> tuple[ConstantEncoding, ...]:
    """Make a dynamic graph float again, and return the weights that it quantized; else nothing.

    Args:
        graph: is changed.
    """
    import torch

    aten, decomposed = torch.ops.aten, torch.ops.quantized_decomposed
    taken: dict[str, ConstantEncoding] = {}
    for node in list(graph.graph.nodes):
        if node.target is not aten.linear.default or not _is_dynamic(node.args[0]):
            continue
        weight = node.args[1]
        if weight.target is decomposed.dequantize_per_channel.default:
            name, encoding = dequantize_constant(graph, weight)
            taken[name] = encoding
            with graph.graph.inserting_before(weight):
                weight.replace_all_uses_with(graph.graph.get_attr(name))
        # Its input, behind the nodes that quantize and dequantize it.
        node.replace_input_with(node.args[0], node.args[0].args[0].args[0])
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return tuple(taken.values())


def _is_dynamic(node: Node) -> bool:
    """Whether a node dequantizes with a scale that is computed."""
    import torch

    return node.target is torch.ops.quantized_decomposed.dequantize_per_tensor.tensor


def store_weights(model: Model, weights: tuple[ConstantEncoding, ...]) -> None:
    """Store weights of a float file as int8.

    Args:
        model: is changed.
        weights: of layers that the file has in float.

    Raises:
        BuildError: the file computes a layer with an operator that takes no int8 weights.
    """
    layers = [(g, op) for name, g, op in list_operators(model) if name == _LAYER]
    number = add_operator_code(model, "FULLY_CONNECTED", _VERSION)
    # Before any is replaced: weights of several layers may be equal.
    places = [[one for one in layers if _is_weight(model, *one, w)] for w in weights]
    for encoding, matches in zip(weights, places, strict=True):
        if not matches:
            raise BuildError(
                f"LiteRT's converter computes with {encoding.name} in an operator that takes no "
                "int8 weights",
                "use --quantize static, or leave out the format litert",
            )
        for graph, operator in matches:
            _quantize(model, graph.tensors[operator.inputs[1]], encoding)
            operator.opcodeIndex = number
            operator.builtinOptions = copy.copy(operator.builtinOptions)
            operator.builtinOptions.asymmetricQuantizeInputs = True  # as XNNPACK always does
    raise_min_runtime(model, _RUNTIME)


def _is_weight(
    model: Model, graph: Subgraph, operator: Operator, encoding: ConstantEncoding
) -> bool:
    """Return whether a layer has a weight as float."""
    values = read_floats(model, graph.tensors[operator.inputs[1]])
    scales = encoding.scales.reshape(-1, *[1] * (encoding.values.ndim - 1))
    return values is not None and np.array_equal(values, encoding.values * scales)


def _quantize(model: Model, tensor: Tensor, encoding: ConstantEncoding) -> None:
    """Turn a float constant into an int8 one."""
    schema = import_schema()
    if name_type(tensor) == "INT8":
        return  # layers share it, or have equal weights
    content = schema.BufferT()
    content.data = np.ascontiguousarray(encoding.values).reshape(-1).view(np.uint8)
    model.buffers[tensor.buffer] = content
    tensor.type = schema.TensorType.INT8
    tensor.quantization = schema.QuantizationParametersT()
    tensor.quantization.scale = encoding.scales
    tensor.quantization.zeroPoint = np.zeros(len(encoding.scales), np.int64)
    tensor.quantization.quantizedDimension = 0
