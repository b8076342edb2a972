"""Writing of ONNX files with torch's exporter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kit.formats.onnx.float_layers import guard_float_layers
from kit.formats.onnx.saturation import separate_parameters

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule


def export_model(model: GraphModule, example: tuple[Tensor, ...], path: Path) -> None:
    """Write a model with torch's exporter, weights inside the file."""
    import onnx
    import torch

    program = torch.export.export(model, example)
    torch.onnx.export(program, example, str(path), dynamo=True, external_data=False, verbose=False)
    exported = onnx.load(path)
    guard_float_layers(exported.graph)
    separate_parameters(exported.graph)
    onnx.save(exported, path)
    if granularity := getattr(model, "meta", {}).get("kit_dynamic"):
        _quantize_dynamic(path, per_channel=granularity == "per-channel")


def _quantize_dynamic(path: Path, per_channel: bool) -> None:
    """Replace matrix products by dynamically quantized ones with ONNX Runtime's tool."""
    import logging

    from onnxruntime.quantization import QuantType, quantize_dynamic

    logging.getLogger().addFilter(_no_advice := lambda r: "pre-process" not in r.getMessage())
    try:
        quantize_dynamic(
            path,
            path,
            op_types_to_quantize=["Gemm", "MatMul", "LSTM"],
            per_channel=per_channel,
            weight_type=QuantType.QInt8,
        )
    finally:
        logging.getLogger().removeFilter(_no_advice)
