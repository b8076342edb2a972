"""Which of ONNX Runtime's operators compute in float, in a graph that it has optimized."""

from __future__ import annotations

from collections.abc import Mapping

# Names of ONNX Runtime's integer kernels after it has fused a QDQ graph.
_IN_INTEGERS = {
    *("QLinearConv", "QGemm", "QLinearAdd", "QLinearMul", "QLinearGlobalAveragePool"),
    *("QLinearAveragePool", "QLinearConcat", "QLinearLeakyRelu", "QLinearSigmoid"),
    *("QLinearSoftmax", "QLinearMatMul", "MatMulInteger", "MatMulIntegerToFloat"),
    *("DynamicQuantizeMatMul", "DynamicQuantizeLinear", "ConvInteger", "DynamicQuantizeLSTM"),
}
_MOVES = {
    *("QuantizeLinear", "DequantizeLinear", "Transpose", "Reshape", "Flatten", "Squeeze"),
    *("Unsqueeze", "Concat", "Slice", "Cast", "Gather", "Split", "Identity"),
    *("MaxPool", "NhwcMaxPool"),
    *("ReorderInput", "ReorderOutput"),
}


def select_float(counts: Mapping[str, int]) -> dict[str, int]:
    """Return the operators that compute in float; none where nothing is quantized.

    Args:
        counts: of each operator, with or without its domain.
    """
    plain = {name: name.rpartition(".")[2] for name in counts}
    if not (_IN_INTEGERS | {"QuantizeLinear"}) & set(plain.values()):
        return {}
    left = _IN_INTEGERS | _MOVES
    return {name: count for name, count in sorted(counts.items()) if plain[name] not in left}
