"""Describe an ONNX file, and the graph into which ONNX Runtime optimizes it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from kit.errors import BundleError
from kit.files import temporary
from kit.formats.onnx.integer_clips import SUFFIX
from kit.formats.onnx.operators import select_float
from kit.formats.onnx.session import optimize_file
from kit.formats.properties import Description


def describe_file(path: Path) -> Description:
    """Read the opset and the operators from the file.

    Raises:
        BundleError: it is not an ONNX file.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path, load_external_data=False)  # a file may name any other one
    except DecodeError as exc:
        raise BundleError(f"{path} is not an ONNX file: {exc}", "build it again") from exc
    opsets = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    if not opsets or not model.graph.node:  # an empty file parses like this
        raise BundleError(f"{path} is not an ONNX file: it has no operators", "build it again")
    operators = Counter(node.op_type for node in model.graph.node)
    quantized = bool({"QuantizeLinear", "DynamicQuantizeLinear"} & operators.keys())
    return Description(
        format_version=f"opset {opsets[0]}, IR {model.ir_version}",
        operators=dict(sorted(operators.items())),
        computed_in_float=_computed_in_float(path) if quantized else {},
    )


def _computed_in_float(path: Path) -> dict[str, int]:
    """Return the operators that ONNX Runtime computes in float, from its optimized graph."""
    import onnx

    with temporary.make_folder() as folder:
        optimized = folder / "optimized.onnx"
        optimize_file(path, optimized)
        nodes = onnx.load(optimized).graph.node
    return select_float(Counter(node.op_type for node in nodes if SUFFIX not in node.name))
