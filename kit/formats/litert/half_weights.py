"""Float16 files of LiteRT: weights are stored in float16, and dequantized as the file is loaded.

https://ai.google.dev/edge/litert/models/post_training_float16_quant - LiteRT has no float16
convolution on CPUs: XNNPACK and GPUs read the weights through the DEQUANTIZE operator in front of
each, and compute in float32 or, where the device has it, in float16.
"""

from __future__ import annotations

import copy

import numpy as np

from kit.formats.litert.flatbuffer import Model, Subgraph, Tensor, import_schema, name_type

_MIN_VALUES = 2  # a scalar, such as the bound of a clip, stays as it is


def store_half(model: Model) -> None:
    """Store the float constants of a file in float16.

    Args:
        model: is changed.
    """
    schema = import_schema()
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    code.version = 3  # the first that reads float16
    model.operatorCodes.append(code)
    number = len(model.operatorCodes) - 1
    for graph in model.subgraphs:
        outputs = set(map(int, graph.outputs))
        constants = [
            index
            for index, tensor in enumerate(graph.tensors)
            if _is_float(model, tensor) and index not in outputs
        ]
        moved = {index: _store(model, graph, index) for index in constants}
        for operator in graph.operators:
            inputs = map(int, () if operator.inputs is None else operator.inputs)
            operator.inputs = [moved.get(index, index) for index in inputs]
        graph.operators = [
            *(_dequantize(number, index, moved[index]) for index in constants),
            *graph.operators,
        ]
    _drop_unused_buffers(model)


def _drop_unused_buffers(model: Model) -> None:
    used = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors}
    used |= {entry.buffer for entry in model.metadata or []}
    for number, content in enumerate(model.buffers):
        if number not in used:
            content.data = None


def _is_float(model: Model, tensor: Tensor) -> bool:
    data = model.buffers[tensor.buffer].data
    return name_type(tensor) == "FLOAT32" and data is not None and len(data) >= 4 * _MIN_VALUES


def _store(model: Model, graph: Subgraph, index: int) -> int:
    """Turn a constant into float16, and return the tensor that has it in float32."""
    schema = import_schema()
    constant = graph.tensors[index]
    wide = copy.copy(constant)
    wide.buffer = 0  # the empty one, of tensors that are computed
    wide.name = constant.name + b"_float32"
    graph.tensors.append(wide)
    values = np.asarray(model.buffers[constant.buffer].data, np.uint8).view(np.float32)
    content = schema.BufferT()
    content.data = values.astype(np.float16).view(np.uint8)
    model.buffers.append(content)  # others may share the old one
    constant.buffer, constant.type = len(model.buffers) - 1, schema.TensorType.FLOAT16
    return len(graph.tensors) - 1


def _dequantize(code: int, source: int, target: int) -> object:
    operator = import_schema().OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = code, [source], [target]
    return operator
