"""Read the encodings of an ONNX graph from its quantization operators.

https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.formats.structure import TensorEncoding

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, TensorProto

# Positions of (tensor, scale, zero point) among the inputs, and of (scale, zero point) of the
# first output, of operators that compute on levels.
_INPUTS = {
    "QLinearConv": ((0, 1, 2), (3, 4, 5)),
    "QLinearMatMul": ((0, 1, 2), (3, 4, 5)),
}
_OUTPUT = (6, 7)


def read_encodings(graph: GraphProto) -> dict[str, TensorEncoding]:
    """Return the encodings of tensors whose scales are constants of the graph.

    The float tensors on the other side of Q and DQ nodes have them too, as these are what other
    nodes take.
    """
    constants = {one.name: one for one in graph.initializer}
    encodings: dict[str, TensorEncoding] = {}
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            _add(encodings, node, constants, (0, 1, 2), (node.input[0], node.output[0]))
        elif node.op_type in _INPUTS and len(node.input) > _OUTPUT[1]:
            for places in _INPUTS[node.op_type]:
                _add(encodings, node, constants, places, (node.input[places[0]],))
            _add(encodings, node, constants, (0, *_OUTPUT), (node.output[0],))
    return encodings


def _add(
    encodings: dict[str, TensorEncoding],
    node: NodeProto,
    constants: dict[str, TensorProto],
    places: tuple[int, int, int],
    names: tuple[str, ...],
) -> None:
    """Add the encoding at these places of a node's inputs for some tensors."""
    _, scale, zero = places
    scales = _read_numbers(node, constants, scale)
    if scales is None:
        return
    zeros = _read_numbers(node, constants, zero)
    name = node.input[zero] if zero < len(node.input) else ""
    encoding = TensorEncoding(
        _read_dtype(constants.get(name) or constants.get(node.input[0])),
        tuple(scales),
        tuple(map(int, zeros or [0.0] * len(scales))),
    )
    for one in names:
        encodings.setdefault(one, encoding)


def _read_numbers(
    node: NodeProto, constants: dict[str, TensorProto], place: int
) -> list[float] | None:
    """Return the values of a constant input; None for one that is computed or left out."""
    from onnx import numpy_helper

    tensor = constants.get(node.input[place]) if place < len(node.input) else None
    if tensor is None or tensor.external_data:
        return None
    return [float(value) for value in numpy_helper.to_array(tensor).reshape(-1)]


def _read_dtype(tensor: TensorProto | None) -> str:
    from onnx import helper

    if tensor is None:
        return "uint8"  # of a node without a zero point
    return str(helper.tensor_dtype_to_np_dtype(tensor.data_type))
