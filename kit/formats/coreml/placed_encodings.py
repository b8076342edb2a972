"""Check that an ML program holds exactly the encodings of the graph that it was made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kit.formats.coreml.package import CoreMlObject
from kit.formats.graph_encodings import FileEncodings, GraphEncodings, check_placed

_UINT8_OFFSET = 128  # coremltools stores a zero point of -128 as uint8 values without one


def check_encodings(function: CoreMlObject, encodings: GraphEncodings) -> None:
    """Compare an ML program with the encodings of its graph.

    Scales are float16 where the values are computed in float16.

    Raises:
        BuildError: an encoding finds no place, or the converter chose one of its own.
    """
    check_placed(_read_encodings(function), encodings, "Core ML", (np.float32, np.float16))


def _read_encodings(function: CoreMlObject) -> FileEncodings:
    """Return the encodings of what is quantized and dequantized, and the int8 constants."""
    activations: dict[tuple[float, int], str] = {}
    constants: list[tuple[NDArray[np.int8], NDArray[np.float32]]] = []
    for operation in function.operations:
        if operation.op_type == "constexpr_affine_dequantize":
            scales = np.atleast_1d(np.asarray(operation.scale.val, np.float32))
            constants.append((operation.quantized_data.val, scales))
        elif operation.op_type in ("quantize", "dequantize"):
            activations.setdefault(_read_activation(operation), operation.outputs[0].name)
    return FileEncodings(activations, constants)


def _read_activation(operation: CoreMlObject) -> tuple[float, int]:
    """Return scale and zero point of int8 values."""
    is_quantize = operation.op_type == "quantize"
    values = operation.outputs[0] if is_quantize else operation.input
    zero = 0 if operation.zero_point is None else int(operation.zero_point.val)
    shift = _UINT8_OFFSET if name_type(values) == "uint8" else 0
    return float(np.float32(operation.scale.val)), zero - shift


def name_type(tensor: CoreMlObject) -> str:
    """Return the dtype of a tensor, such as ``fp16``."""
    from coremltools.converters.mil.mil import types

    return str(types.builtin_to_string(tensor.dtype))
