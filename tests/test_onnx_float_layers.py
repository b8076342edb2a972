"""Layers in float between int8 operators of an ONNX file, which ONNX Runtime would quantize."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from kit.formats.onnx.float_layers import guard_float_layers


@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 5), (2, 3, 4, 5), (4,)])
def test_products_with_weights_of_any_rank_keep_their_values(shape):
    """Regression: zeros for the input of a batch of matrices had the length of the batch."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=shape).astype(np.float32)
    levels = rng.integers(0, 255, (1, 3, 2, 4), dtype=np.uint8)
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "scale", "zero"], ["value"], name="restore"),
        helper.make_node("MatMul", ["value", "weight"], ["y"], name="product"),
    ]
    constants = {"scale": np.float32(0.1), "zero": np.uint8(128), "weight": weight}
    graph = helper.make_graph(
        nodes,
        "product",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, levels.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    guard_float_layers(graph)
    assert [node.op_type for node in graph.node] == ["DequantizeLinear", "Add", "MatMul"]
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (product,) = session.run(None, {"x": levels})
    expected = (levels.astype(np.float32) - 128) * np.float32(0.1) @ weight
    np.testing.assert_allclose(product, expected, atol=1e-4)
