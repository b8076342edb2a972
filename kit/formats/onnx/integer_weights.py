"""Integer weights of ONNX files.

Int8 weights are an int8 constant, cast and scaled: ONNX Runtime computes both once as it opens the
file, so that layers run as fast as in float. Behind a DequantizeLinear, which says the same, it
would dequantize all weights again in each inference.

Int4 weights are ONNX Runtime's operator MatMulNBits, which has kernels for them on x86 and Arm, in
ONNX Runtime since 1.17 (bfloat16 scales of the graph are float32 here). With `_ACCURACY` these
quantize their input to int8 as it comes, by blocks of 32.

https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kit.formats.stored_weights import StoredWeight, UnplacedWeights, refuse_lost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

_DOMAIN = "com.microsoft"
_ACCURACY = 4
_ZERO = 8  # of unsigned int4 values


def store_weights(model: ModelProto, weights: Sequence[StoredWeight]) -> None:
    """Replace float weights of a file by integers.

    Args:
        model: is changed.
        weights: of layers that the file has in float.

    Raises:
        BuildError: one is not in the file.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    unplaced = UnplacedWeights(weights, "ONNX")
    for tensor in [one for one in graph.initializer if one.data_type == TensorProto.FLOAT]:
        constant = numpy_helper.to_array(tensor)
        weight = unplaced.find(constant)
        if weight is None:
            continue
        orders = list(weight.list_orders(constant))
        if weight.bits == 8:
            _store_channels(graph, tensor, weight, orders[0])
        else:
            _store_groups(graph, tensor, weight, orders)
    unplaced.check()
    if any(node.domain == _DOMAIN for node in graph.node) and all(
        one.domain != _DOMAIN for one in model.opset_import
    ):
        model.opset_import.append(helper.make_opsetid(_DOMAIN, 1))


def _store_channels(
    graph: GraphProto, tensor: TensorProto, weight: StoredWeight, order: Sequence[int]
) -> None:
    from onnx import TensorProto, helper, numpy_helper

    name = tensor.name
    shape = [1] * weight.values.ndim
    if weight.scales.size > 1:
        shape[weight.axis] = -1
    scales = weight.scales.reshape(shape).transpose(order)
    values = np.ascontiguousarray(weight.values.transpose(order))
    graph.initializer.remove(tensor)
    graph.initializer.extend(
        [
            numpy_helper.from_array(values, f"{name}_int8"),
            numpy_helper.from_array(np.ascontiguousarray(scales), f"{name}_scale"),
        ]
    )
    cast = helper.make_node(
        "Cast", [f"{name}_int8"], [f"{name}_cast"], name=f"{name}_cast", to=TensorProto.FLOAT
    )
    scale = helper.make_node(
        "Mul", [f"{name}_cast", f"{name}_scale"], [name], name=f"{name}_dequantized"
    )
    graph.node.insert(0, scale)
    graph.node.insert(0, cast)


def _store_groups(
    graph: GraphProto, tensor: TensorProto, weight: StoredWeight, orders: Sequence[tuple[int, ...]]
) -> None:
    """Replace the products with a weight [out, in], or [in, out] if it is transposed.

    A symmetric weight is both.
    """
    name = tensor.name
    products = [node for node in graph.node if name in node.input]
    if not products or not all(
        any(_takes_groups(node, name, order == (1, 0)) for order in orders) for node in products
    ):
        raise refuse_lost(weight, "ONNX")
    _add_constants(graph, name, weight)
    graph.initializer.remove(tensor)
    for node in products:
        _replace_product(graph, node, name, weight)


def _takes_groups(node: NodeProto, name: str, transposed: bool) -> bool:
    """Whether a node is the product of something and the weight."""
    if list(node.input).index(name) != 1:
        return False
    attributes = {one.name: one for one in node.attribute}
    if node.op_type == "MatMul":
        return transposed
    if node.op_type != "Gemm" or (attributes["transA"].i if "transA" in attributes else 0):
        return False
    turned = attributes["transB"].i if "transB" in attributes else 0
    plain = all(attributes[key].f == 1 for key in ("alpha", "beta") if key in attributes)
    return plain and bool(turned) != transposed


def _add_constants(graph: GraphProto, name: str, weight: StoredWeight) -> None:
    from onnx import numpy_helper

    packed = pack_groups(weight.values, weight.scales.shape[1])
    graph.initializer.extend(
        [
            numpy_helper.from_array(packed, f"{name}_int4"),
            numpy_helper.from_array(weight.scales.reshape(-1), f"{name}_scale"),
        ]
    )


def pack_groups(values: NDArray[np.int8], groups: int) -> NDArray[np.uint8]:
    """Return int4 values [out, in] as bytes [out, groups, bytes], the earlier value low."""
    unsigned = (values.reshape(len(values), groups, -1).astype(np.int16) + _ZERO).astype(np.uint8)
    packed = unsigned[..., 0::2] | (unsigned[..., 1::2] << 4)
    return packed.astype(np.uint8)


def _replace_product(graph: GraphProto, node: NodeProto, name: str, weight: StoredWeight) -> None:
    from onnx import helper

    outputs, inputs = weight.values.shape
    place = list(graph.node).index(node)
    bias = node.input[2] if len(node.input) > 2 else ""
    product = f"{node.output[0]}_product" if bias else node.output[0]
    made = [
        helper.make_node(
            "MatMulNBits",
            [node.input[0], f"{name}_int4", f"{name}_scale"],
            [product],
            name=f"{node.name}_int4",
            domain=_DOMAIN,
            K=inputs,
            N=outputs,
            bits=weight.bits,
            block_size=inputs // weight.scales.shape[1],
            accuracy_level=_ACCURACY,
        )
    ]
    if bias:
        made.append(helper.make_node("Add", [product, bias], [node.output[0]], name=node.name))
    graph.node.remove(node)
    for one in reversed(made):
        graph.node.insert(place, one)
