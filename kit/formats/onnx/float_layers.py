"""Prevent ONNX Runtime from quantizing layers that are kept in float.

Its optimizer (WeightBiasQuantization, since 1.20) gives int8 weights to a float layer that
is between a DequantizeLinear and a QuantizeLinear, with one scale for the whole tensor, and
without a warning. Adding zeros to the layer's input, one per channel, breaks the pattern, and
is not removed: the optimizer only removes an addition of a single zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, TensorProto

_SUFFIX = "_kept_float"


def guard_float_layers(graph: GraphProto) -> None:
    """Change a graph at the layers that ONNX Runtime would quantize."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    made_by = {out: node for node in graph.node for out in node.output}
    for node in [node for node in graph.node if _at_risk(node, weights, made_by)]:
        _add_zeros(graph, node, weights[node.input[1]])


def _at_risk(
    node: NodeProto, weights: dict[str, TensorProto], made_by: dict[str, NodeProto]
) -> bool:
    if node.op_type not in ("Conv", "Gemm", "MatMul") or node.input[1] not in weights:
        return False
    before = made_by.get(node.input[0])
    return before is not None and before.op_type == "DequantizeLinear"


def _add_zeros(graph: GraphProto, node: NodeProto, weight: TensorProto) -> None:
    from onnx import helper, numpy_helper

    name = node.name + _SUFFIX
    zeros = np.zeros(_shape(node, weight), np.float32)
    graph.initializer.append(numpy_helper.from_array(zeros, f"{name}_zeros"))
    adding = helper.make_node("Add", [node.input[0], f"{name}_zeros"], [name], name=name)
    graph.node.insert(list(graph.node).index(node), adding)
    node.input[0] = name


def _shape(node: NodeProto, weight: TensorProto) -> tuple[int, ...]:
    """Return a shape that broadcasts to the input, with more than one element if it can.

    A convolution's weight is [out, in / groups, kh, kw]; a Gemm's is [out, in] with
    transB = 1, otherwise [in, out]; a MatMul's is [..., in, out], or [in].
    """
    attributes = {a.name: a.i for a in node.attribute}
    if node.op_type == "Conv":
        return (1, weight.dims[1] * (attributes.get("group") or 1), 1, 1)
    if node.op_type == "MatMul":
        return (weight.dims[max(0, len(weight.dims) - 2)],)
    return (weight.dims[1 if attributes.get("transB") else 0],)
