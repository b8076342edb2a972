"""Work around ONNX Runtime's int8 kernels, which silently saturate on x86 without VNNI.

They multiply uint8 activations by int8 weights with ``vpmaddubsw``, which adds two products
in 16 bits. With `SETTING` ONNX Runtime converts weights to uint8, whose kernels are exact.
That halves the speed on processors with VNNI, which do not need it (but get it
as well), so it is set only if a test shows that the kernels saturate.

The option fails on a file in which two nodes share a scale or a zero point: it writes the new
tensors under the names of the old ones. `separate_parameters` gives each node its own.

Source: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html,
"When and why do I need to try U8U8?"
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

SETTING = ("session.x64quantprecision", "1")
# ONNX Runtime's error for a file with shared parameters when `SETTING` is set.
REFUSAL = "Attempt to replace the existing tensor"


@functools.cache
def saturates() -> bool:
    """Return whether this processor's int8 kernels saturate, by running them.

    CPU feature flags are not reliable under emulation, and kernels change with the version
    of ONNX Runtime.
    """
    import onnxruntime as ort
    from onnx import TensorProto, helper

    activations, weights = np.full((1, 4), 255, np.uint8), np.full((4, 1), 127, np.int8)
    node = helper.make_node("MatMulInteger", ["a", "b"], ["c"])
    graph = helper.make_graph(
        [node],
        "saturation",
        [
            helper.make_tensor_value_info("a", TensorProto.UINT8, activations.shape),
            helper.make_tensor_value_info("b", TensorProto.INT8, weights.shape),
        ],
        [helper.make_tensor_value_info("c", TensorProto.INT32, (1, 1))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (product,) = session.run(None, {"a": activations, "b": weights})
    exact = activations.astype(np.int32) @ weights.astype(np.int32)
    return bool((product != exact).any())


def separate_parameters(graph: GraphProto) -> None:
    """Give each QuantizeLinear and DequantizeLinear node a scale and zero point of its own.

    A shared initializer is copied for each node but the first: some hundred tensors of one
    number, or one per channel.
    """
    parameters = {tensor.name: tensor for tensor in graph.initializer}
    used: set[str] = set()
    for node in graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        for index, what in ((1, "scale"), (2, "zero_point")):
            name = node.input[index] if index < len(node.input) else ""
            if name in used:
                own = graph.initializer.add()
                own.CopyFrom(parameters[name])
                own.name = node.input[index] = f"{_stem(node)}_{what}"
            elif name in parameters:
                used.add(name)


def _stem(node: NodeProto) -> str:
    """Return a name that is unique in the graph, whether the node has one or not."""
    return f"{node.name}_{node.output[0]}"
