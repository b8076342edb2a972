"""Operators of int8 files that are computed in float32, as their integer kernels do not do.

XNNPACK has no integer kernels of GELU and hard-swish. LiteRT's own take longer than the network
without them: MobileNetV3-Large in int8 was slower than in float32. LiteRT's integer softmax takes
no other output scale than 1/256, and the largest share of many positions is below that.
"""

from __future__ import annotations

import copy

from kit.formats.litert.flatbuffer import (
    Model,
    Subgraph,
    add_operator_code,
    import_schema,
    list_operators,
    make_operator,
    name_type,
)

_NAMES = ("GELU", "HARD_SWISH", "SOFTMAX")
_DEQUANTIZE_VERSION = 2  # of the operator, the first that reads int8


def compute_in_float(model: Model) -> None:
    """Put GELU, hard-swish and softmax of int8 tensors between two conversions.

    The answers are those of the graph, which computes them like this too.

    Args:
        model: is changed.
    """
    operators = [
        (graph, operator)
        for name, graph, operator in list_operators(model)
        if name in _NAMES and name_type(graph.tensors[operator.inputs[0]]) == "INT8"
    ]
    if not operators:
        return
    dequantize = add_operator_code(model, "DEQUANTIZE", _DEQUANTIZE_VERSION)
    quantize = add_operator_code(model, "QUANTIZE", 1)
    for graph, operator in operators:
        source, target = int(operator.inputs[0]), int(operator.outputs[0])
        before, after = _add_float(graph, source), _add_float(graph, target)
        operator.inputs, operator.outputs = [before], [after]
        index = graph.operators.index(operator)
        graph.operators[index : index + 1] = [
            make_operator(dequantize, source, before),
            operator,
            make_operator(quantize, after, target),
        ]


def _add_float(graph: Subgraph, index: int) -> int:
    """Add a float32 tensor of another one's shape; return its index."""
    tensor = copy.copy(graph.tensors[index])
    tensor.type, tensor.quantization = import_schema().TensorType.FLOAT32, None
    tensor.name += b"_float32"
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1
