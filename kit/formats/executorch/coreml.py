"""ExecuTorch's Core ML backend, for Apple's devices: lowered here, run on devices only.

https://docs.pytorch.org/executorch/stable/backends/coreml/coreml-overview.html - on Linux Core ML
converts models and cannot run them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kit.formats.interface import Backend

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule


class CoreMl(Backend):
    """Operators that Core ML has are delegated, the others run on the CPU."""

    name = "coreml"
    summary = "ExecuTorch with Core ML on Apple's devices; lowered here, run on devices only"
    flow = "pt2e-s8"
    precisions = ("fp32", "fp16", "int8", "int8-weights")
    runs_here = False

    def export(self, model: GraphModule, example: tuple[Tensor, ...], path: Path) -> None:
        """Lower a model to a Core ML program of iOS 17, which has int8 activations.

        Raises:
            BuildError: ExecuTorch cannot lower the model.
        """
        import coremltools
        from executorch.backends.apple.coreml.compiler import CoreMLBackend
        from executorch.backends.apple.coreml.partition import CoreMLPartitioner

        from kit.formats.executorch.export import export_with
        from kit.formats.half_graph import restore_float

        restored = restore_float(model)  # Core ML casts by itself
        kinds = coremltools.precision
        precision = kinds.FLOAT32 if restored is None else kinds.FLOAT16
        specs = CoreMLBackend.generate_compile_specs(
            compute_precision=precision, minimum_deployment_target=coremltools.target.iOS17
        )
        export_with(CoreMLPartitioner(compile_specs=specs), restored or model, example, path)
