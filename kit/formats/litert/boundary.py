"""Inputs and outputs of a LiteRT file: float where the converter made them int8, and named.

The converter makes a quantized model's inputs and outputs int8. kit's signature, like the
network's, has float32; with the conversion in the file its time is measured, and every runner
is the same for float and int8 files.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

from kit.formats.litert.flatbuffer import Model, Subgraph, Tensor, import_schema, name_type

# Versions of the operators between float32 and int8.
_QUANTIZE_VERSION, _DEQUANTIZE_VERSION = 1, 2


def make_boundary_float(model: Model) -> None:
    """Add a conversion for each int8 input and output; the model is changed."""
    schema = import_schema()
    (graph,) = model.subgraphs
    graph.inputs, graph.outputs = list(map(int, graph.inputs)), list(map(int, graph.outputs))
    quantize, dequantize = [], []
    for position, index in enumerate(graph.inputs):
        if name_type(graph.tensors[index]) == "INT8":
            added = _add_float_twin(graph, index)
            code = _add_code(model, schema.BuiltinOperator.QUANTIZE, _QUANTIZE_VERSION)
            quantize.append(_make_operator(code, added, index))
            _replace(model, graph.inputs, position, added, is_input=True)
    for position, index in enumerate(graph.outputs):
        if name_type(graph.tensors[index]) == "INT8":
            added = _add_float_twin(graph, index)
            code = _add_code(model, schema.BuiltinOperator.DEQUANTIZE, _DEQUANTIZE_VERSION)
            dequantize.append(_make_operator(code, index, added))
            _replace(model, graph.outputs, position, added, is_input=False)
    graph.operators = [*quantize, *graph.operators, *dequantize]


def name_inputs(model: Model, names: Sequence[str]) -> None:
    """Name the inputs of the signature and their tensors after the parameters of ``forward``."""
    (graph,), (signature,) = model.subgraphs, model.signatureDefs
    by_tensor = dict(zip(map(int, graph.inputs), names, strict=True))
    for entry in signature.inputs:
        entry.name = by_tensor[entry.tensorIndex].encode()
    for index, name in by_tensor.items():
        graph.tensors[index].name = name.encode()


def _add_float_twin(graph: Subgraph, index: int) -> int:
    """Add a float tensor of an int8 tensor's shape, which takes over its name."""
    tensor: Tensor = graph.tensors[index]
    twin = copy.copy(tensor)
    twin.type, twin.quantization, twin.buffer = import_schema().TensorType.FLOAT32, None, 0
    tensor.name = tensor.name + b"_int8"
    graph.tensors.append(twin)
    return len(graph.tensors) - 1


def _add_code(model: Model, builtin: int, version: int) -> int:
    """Return the index of an operator's code, added if the file does not have it."""
    for index, code in enumerate(model.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == builtin and code.version == version:
            return index
    code = import_schema().OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = builtin
    code.version = version
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def _make_operator(code: int, source: int, target: int) -> object:
    operator = import_schema().OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = code, [source], [target]
    return operator


def _replace(
    model: Model, indices: list[int], position: int, added: int, *, is_input: bool
) -> None:
    """Make another tensor the input or output at a position, in the signature too."""
    (signature,) = model.signatureDefs
    for entry in signature.inputs if is_input else signature.outputs:
        if entry.tensorIndex == indices[position]:
            entry.tensorIndex = added
    indices[position] = added
