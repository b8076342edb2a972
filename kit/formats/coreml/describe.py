"""Describe a Core ML package."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from kit.formats.coreml.package import CoreMlObject, import_coremltools, read_package
from kit.formats.coreml.placed_encodings import name_type
from kit.formats.properties import Description

_FLOATS = {"fp16", "fp32"}
_WEIGHTS = "constexpr_affine_dequantize"
_MOVES = {
    *("quantize", "dequantize", "cast", "reshape", "transpose", "squeeze", "expand_dims"),
    *("concat", "slice_by_index", "slice_by_size", "split", "pad", "identity", _WEIGHTS),
}
_ACTIVATIONS = {"relu", "relu6", "clip", "clamped_relu"}  # part of the kernel in front of them


def describe_package(path: Path) -> Description:
    """Read the version of the specification, and the operations.

    Core ML chooses on the device what computes an operation; of a quantized model those are
    listed as float that are not between a dequantization and a quantization.

    Raises:
        BundleError: it is not a model package, or it is damaged.
    """
    package = read_package(path)
    operations = list_operations(package.function)
    in_float = Counter(one.op_type for one in operations if _is_float(one))
    quantized = any(one.op_type == "quantize" for one in operations)
    return Description(
        format_version=name_version(package.model.specificationVersion),
        operators=dict(sorted(Counter(one.op_type for one in operations).items())),
        computed_in_float=dict(sorted(in_float.items())) if quantized else {},
    )


def list_operations(function: CoreMlObject) -> list[CoreMlObject]:
    """Return the operations of a function, without constants."""
    return [one for one in function.operations if one.op_type != "const"]


def name_version(number: int) -> str:
    """Return a specification's version, and the oldest systems that run it."""
    targets = import_coremltools().target.__members__.items()
    systems = (name for name, target in targets if target.value == number)
    named = [f"{s[:-2]} {s[-2:]}" for s in systems if s.startswith(("iOS", "macOS"))]
    return f"specification {number} ({', '.join(named)})"


def _is_float(operation: CoreMlObject) -> bool:
    """Whether an operation computes in float."""
    if operation.op_type in _MOVES or name_type(operation.outputs[0]) not in _FLOATS:
        return False
    weight = operation.inputs.get("weight")
    if weight is not None and weight.op is not None and weight.op.op_type == "const":
        return True
    return not (_is_dequantized(operation) and _is_quantized(operation.outputs[0]))


def _is_dequantized(operation: CoreMlObject) -> bool:
    """Whether all that an operation computes with comes from integers."""
    for tensor in _list_inputs(operation):
        maker = tensor.op
        if maker is None:  # an input of the model
            return False
        if maker.op_type in ("const", "dequantize", _WEIGHTS):
            continue
        if maker.op_type not in _MOVES and operation.op_type not in _ACTIVATIONS:
            return False
        if not _is_dequantized(maker):
            return False
    return True


def _is_quantized(tensor: CoreMlObject) -> bool:
    """Whether all that reads a tensor quantizes it, at once or after an activation."""
    readers = tensor.child_ops
    return bool(readers) and all(
        one.op_type == "quantize"
        or (one.op_type in _MOVES | _ACTIVATIONS and _is_quantized(one.outputs[0]))
        for one in readers
    )


def _list_inputs(operation: CoreMlObject) -> list[CoreMlObject]:
    """Return the tensors that an operation reads."""
    values = operation.inputs.values()
    return [
        tensor
        for value in values
        for tensor in (value if isinstance(value, list | tuple) else [value])
    ]
