"""Writing of ONNX files with torch's exporter.

A file says which opset and which IR version it needs, and a runtime refuses newer ones than it
knows, so both are the oldest ones that torch's exporter has operators for. What torch writes by
itself, opset 20 and IR 10, is refused by ONNX Runtime before 1.18. A model with GELU gets the
opset that has it: in older ones it is five operators, which ONNX Runtime does not fuse.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from kit.formats.deferred import read_deferred
from kit.formats.onnx.constant_folding import fold_constants
from kit.formats.onnx.float_layers import guard_float_layers
from kit.formats.onnx.integer_clips import move_clips
from kit.formats.onnx.integer_weights import store_weights
from kit.formats.onnx.saturation import separate_parameters
from kit.formats.onnx.wide_activations import use_own_domain
from kit.formats.stored_weights import take_integer_weights
from kit.network import export_program
from kit.varying import Varying

if TYPE_CHECKING:
    from onnx import GraphProto
    from torch import Tensor
    from torch.export import ExportedProgram
    from torch.fx import GraphModule

_SYMBOL = re.compile(r"\bs[0-9]+\b")
_OPSET, _GELU_OPSET = 18, 20
_IR_VERSIONS = {18: 8, 20: 9}  # that came with the opset, in ONNX 1.13 and 1.15


def export_model(
    model: GraphModule, example: tuple[Tensor, ...], path: Path, varying: Varying = ()
) -> None:
    """Write a model with torch's exporter, weights inside the file.

    Args:
        model: float, or with Q/DQ pairs.
        example: one inference's inputs.
        path: of the file.
        varying: dimensions of inputs that may vary.
    """
    import onnx
    import torch

    program = export_program(model, example, varying)
    if weights := take_integer_weights(copied := program.module()):
        program = export_program(copied, example, varying)
    opset = _choose_opset(program)
    torch.onnx.export(
        program,
        example,
        str(path),
        dynamo=True,
        external_data=False,
        verbose=False,
        opset_version=opset,
    )
    exported = onnx.load(path)
    exported.ir_version = _IR_VERSIONS[opset]
    if varying:
        _name_dimensions(exported.graph, varying)
    move_clips(exported.graph)
    store_weights(exported, weights)
    guard_float_layers(exported.graph)
    separate_parameters(exported.graph)
    use_own_domain(exported)
    dynamic = read_deferred(model)
    if dynamic:
        fold_constants(exported.graph)
    onnx.save(exported, path)
    if dynamic:
        _quantize_dynamic(path, dynamic.per_channel)


def _name_dimensions(graph: GraphProto, varying: Varying) -> None:
    """Give varying dimensions their names; torch calls them by symbols, such as ``s77``.

    A dimension of multiples is ``32*s77`` in torch, whose symbol counts steps.
    """
    names: dict[str, str] = {}
    for one in varying:
        text = graph.input[0].type.tensor_type.shape.dim[one.axis].dim_param
        names[text] = one.name
        if (symbol := _SYMBOL.search(text)) and symbol[0] != text:
            names[symbol[0]] = f"({one.name}//{one.step})"
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                text = dim.dim_param
                dim.dim_param = names.get(text) or _SYMBOL.sub(
                    lambda match: names.get(match[0], match[0]), text
                )


def _choose_opset(program: ExportedProgram) -> int:
    """Return the oldest opset that has the operators of a program."""
    has_gelu = any("gelu" in str(node.target) for node in program.graph.nodes)
    return _GELU_OPSET if has_gelu else _OPSET


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
