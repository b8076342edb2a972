"""ONNX, run by ONNX Runtime; quantized models use uint8 activations and int8 weights.

https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit import files
from kit.errors import BundleError
from kit.formats import _onnx_saturation
from kit.formats._contract import Array, Description, Info, Thresholds
from kit.formats._onnx_float import guard_float_layers

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule

INFO = Info(
    suffix=".onnx",
    summary="ONNX for ONNX Runtime, QDQ with uint8 activations",
    flow="pt2e-u8",
    runtime="onnxruntime",
    exact=False,
    graph=Thresholds(agreement=0.75, sqnr_db=12.0),
)

# What ONNX Runtime's kernels for integers are called once it has fused a QDQ graph.
_IN_INTEGERS = {
    *("QLinearConv", "QGemm", "QLinearAdd", "QLinearMul", "QLinearGlobalAveragePool"),
    *("QLinearAveragePool", "QLinearConcat", "QLinearLeakyRelu", "QLinearSigmoid"),
    *("QLinearSoftmax", "QLinearMatMul", "MatMulInteger", "MatMulIntegerToFloat"),
    *("DynamicQuantizeMatMul", "DynamicQuantizeLinear", "ConvInteger", "DynamicQuantizeLSTM"),
}
_MOVES = {
    *("QuantizeLinear", "DequantizeLinear", "Transpose", "Reshape", "Flatten", "Squeeze"),
    *(
        "Unsqueeze",
        "Concat",
        "Slice",
        "Cast",
        "MaxPool",
        "Identity",
        "ReorderInput",
        "ReorderOutput",
    ),
}


def version() -> str:
    """Return the version of ONNX Runtime."""
    import onnxruntime

    return str(onnxruntime.__version__)


def export(model: GraphModule, example: Tensor, path: Path) -> None:
    """Write a model with torch's exporter, weights inside the file."""
    import onnx
    import torch

    program = torch.export.export(model, (example,))
    torch.onnx.export(
        program, (example,), str(path), dynamo=True, external_data=False, verbose=False
    )
    exported = onnx.load(path)
    guard_float_layers(exported.graph)
    _onnx_saturation.separate_parameters(exported.graph)
    onnx.save(exported, path)
    if granularity := getattr(model, "meta", {}).get("kit_dynamic"):
        _quantize_dynamic(path, per_channel=granularity == "per-channel")


def _quantize_dynamic(path: Path, per_channel: bool) -> None:
    """Let ONNX Runtime's tool replace matrix products by dynamically quantized ones."""
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


def describe(path: Path) -> Description:
    """Read the opset and the operators off the file.

    Raises:
        BundleError: it is not an ONNX file.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path)
    except DecodeError as exc:
        raise BundleError(f"{path} is not an ONNX file: {exc}", "build it again") from exc
    opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    operators = Counter(node.op_type for node in model.graph.node)
    quantized = bool({"QuantizeLinear", "DynamicQuantizeLinear"} & operators.keys())
    return Description(
        format_version=f"opset {opset}, IR {model.ir_version}",
        operators=dict(sorted(operators.items())),
        computed_in_float=_computed_in_float(path) if quantized else {},
    )


def _computed_in_float(path: Path) -> dict[str, int]:
    """Return what ONNX Runtime computes in float, read off the graph that it runs."""
    import onnx

    with files.temporary_folder() as folder:
        optimized = folder / "optimized.onnx"
        _session(path, threads=1, optimized=optimized)
        nodes = onnx.load(optimized).graph.node
    found = Counter(node.op_type for node in nodes)
    return {k: n for k, n in sorted(found.items()) if k not in _IN_INTEGERS | _MOVES}


class _OrtSession:
    def __init__(self, session: Any) -> None:
        self._session = session
        self._name = session.get_inputs()[0].name

    def bind(self, image: Array) -> Callable[[], Any]:
        feed, run = {self._name: image.copy()}, self._session.run
        return lambda: run(None, feed)

    def numpy(self, output: Any) -> Array:
        array: Array = output[0]
        return array

    def end_profile(self) -> str:
        """Return the file that ONNX Runtime wrote, for a session loaded with `profile`."""
        return str(self._session.end_profiling())


def prepare(threads: int) -> None:
    """Import ONNX Runtime and try its kernels; threads are set when a file is opened."""
    # Its wheels carry a usage reporter; this is the switch that stops it.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    _onnx_saturation.saturates()


def load(path: Path, threads: int, profile: Path | None = None) -> _OrtSession:
    """Open the file with `threads` intra-op threads that do not spin between runs.

    With `profile`, ONNX Runtime records the time of each operator in a file beside it.

    Raises:
        BundleError: ONNX Runtime refuses the file.
    """
    return _OrtSession(_session(path, threads, profile=profile))


def load_float(path: Path, threads: int) -> _OrtSession:
    """Open the file to compute its QDQ graph in float, node by node.

    Slow, and free of the kernels and fusions that differ between processors: what the file
    means, whatever runs it.

    Raises:
        BundleError: ONNX Runtime refuses the file.
    """
    return _OrtSession(_session(path, threads, optimize=False))


def _session(
    path: Path,
    threads: int,
    optimized: Path | None = None,
    profile: Path | None = None,
    optimize: bool = True,
) -> Any:
    """Open a file; ONNX Runtime writes the graph that it made of it to `optimized`."""
    prepare(threads)
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # errors are raised, and a file for this machine only is meant
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    elif _onnx_saturation.saturates():
        options.add_session_config_entry(*_onnx_saturation.SETTING)
    if optimized is not None:
        options.optimized_model_filepath = str(optimized)
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = f"{profile}.part"  # it adds the time of day
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # its error classes share no public base; the text is all there is
        if _onnx_saturation.REFUSAL in str(exc):
            raise BundleError(
                f"{path} cannot be run exactly on this processor, whose int8 kernels saturate: "
                "an older kit made it",
                "build it again, or use a processor with VNNI",
            ) from exc
        raise BundleError(f"ONNX Runtime cannot load {path}: {exc}", "build it again") from exc
    if (count := len(session.get_inputs())) != 1:
        raise BundleError(f"{path} takes {count} inputs, not one picture", "build it again")
    return session
