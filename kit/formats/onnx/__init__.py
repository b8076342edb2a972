"""ONNX, run by ONNX Runtime; quantized models use uint8 activations and int8 weights.

https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kit.formats.interface import Format, Session
from kit.formats.onnx.native import NATIVE_RUNNER
from kit.formats.onnx.ort_format import OrtFormat
from kit.formats.onnx.profile import OrtProfiler
from kit.formats.properties import Description, Thresholds
from kit.formats.runtimes import AndroidRuntime, MavenArtifact
from kit.formats.structure import ModelStructure
from kit.varying import Varying

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule


class Onnx(Format):
    """One graph with its weights inside the file."""

    name = "onnx"
    suffix = ".onnx"
    summary = "ONNX for ONNX Runtime, QDQ with uint8 activations"
    aliases = ("onnxruntime",)
    backends = (OrtFormat(),)
    flow = "pt2e-u8"
    precisions = (
        *("fp32", "fp16", "int8", "int8-dynamic"),
        *("int8-weights", "int16-activations", "int4-weights"),
    )
    runtime = "onnxruntime"
    packages = ("onnx", "onnxscript", "onnxruntime")
    exact = False
    thresholds = Thresholds(agreement=0.75, sqnr_db=12.0)
    native = NATIVE_RUNNER
    android = AndroidRuntime(
        MavenArtifact("com.microsoft.onnxruntime", "onnxruntime-android", "1.32.0", "aar"),
        marker="ai/onnxruntime/OrtEnvironment.class",
    )
    profiler = OrtProfiler()
    varies = True

    def export(self, model: GraphModule, example: tuple[Tensor, ...], path: Path) -> None:
        """Write a model with torch's exporter."""
        from kit.formats.onnx.export import export_model

        export_model(model, example, path)

    def export_varying(
        self, model: GraphModule, example: tuple[Tensor, ...], varying: Varying, path: Path
    ) -> None:
        """Write a model whose varying dimensions have names."""
        from kit.formats.onnx.export import export_model

        export_model(model, example, path, varying)

    def describe(self, path: Path) -> Description:
        """Read the opset, the operators, and those that ONNX Runtime computes in float."""
        from kit.formats.onnx import ort_structure
        from kit.formats.onnx.describe import describe_file

        if ort_structure.is_ort(path):
            return ort_structure.describe_file(path)
        return describe_file(path)

    def read_structure(self, path: Path) -> ModelStructure:
        """Return opsets, graph and nodes."""
        from kit.formats.onnx import ort_structure
        from kit.formats.onnx.structure import read_file

        if ort_structure.is_ort(path):
            return ort_structure.read_file(path)
        return read_file(path)

    def recognizes(self, path: Path) -> bool:
        """Return whether the content is a model with a graph."""
        from kit.formats.onnx.ort_structure import is_ort
        from kit.formats.onnx.structure import is_onnx

        return is_ort(path) or is_onnx(path)

    def load(self, path: Path, threads: int) -> Session:
        """Open the file with `threads` intra-op threads that do not spin between runs."""
        from kit.formats.onnx.session import load_session

        return load_session(path, threads)

    def load_float(self, path: Path, threads: int) -> Session | None:
        """Open the file without ONNX Runtime's optimizer, so that it is computed node by node.

        None for a file in ONNX Runtime's own format, whose nodes are fused.
        """
        from kit.formats.onnx.ort_structure import is_ort
        from kit.formats.onnx.session import load_float_session

        return None if is_ort(path) else load_float_session(path, threads)

    def read_version(self) -> str:
        """Return the version of ONNX Runtime."""
        from kit.formats.onnx.session import read_version

        return read_version()

    def prepare(self, threads: int) -> None:
        """Import ONNX Runtime and test its kernels; threads are set when a file is opened."""
        from kit.formats.onnx.session import prepare_runtime

        prepare_runtime()


FORMAT = Onnx()
