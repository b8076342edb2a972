"""16-bit activations of ONNX files.

QuantizeLinear and DequantizeLinear of ONNX have 16 bits since opset 21; ONNX Runtime's own of the
domain com.microsoft have them in any opset, and are what its tools write for NPUs. ONNX Runtime
has no 16-bit kernels for CPUs: it computes the layers between them in float.

https://onnxruntime.ai/docs/execution-providers/QNN-ExecutionProvider.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import ModelProto

_DOMAIN = "com.microsoft"


def use_own_domain(model: ModelProto) -> None:
    """Move all Q/DQ nodes to ONNX Runtime's domain, if one is of 16 bits.

    Args:
        model: is changed.
    """
    from onnx import TensorProto, helper

    types = {one.name: one.data_type for one in model.graph.initializer}
    nodes = [n for n in model.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    wide = {TensorProto.UINT16, TensorProto.INT16}
    if not any(types.get(name) in wide for node in nodes for name in node.input):
        return
    for node in nodes:
        node.domain = _DOMAIN
    model.opset_import.append(helper.make_opsetid(_DOMAIN, 1))
