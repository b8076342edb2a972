"""ExecuTorch's Vulkan backend, for the GPUs of phones: lowered here, run on devices only.

https://docs.pytorch.org/executorch/stable/backends/vulkan/vulkan-overview.html - the wheel has the
partitioner and no runtime.
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from kit.errors import BuildError
from kit.formats.interface import Backend

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule


class Vulkan(Backend):
    """Operators that Vulkan has are delegated, the others run on the CPU."""

    name = "vulkan"
    summary = "ExecuTorch on a phone's GPU (Vulkan); lowered here, run on devices only"
    flow = "pt2e-s8"
    precisions = ("fp32", "fp16", "int8", "int8-weights")
    refusals = MappingProxyType(
        {"int8-dynamic": "its partitioner takes the quantization of activations out of the graph"}
    )
    runs_here = False

    def export(self, model: GraphModule, example: tuple[Tensor, ...], path: Path) -> None:
        """Lower a model to Vulkan and write the program.

        Raises:
            BuildError: ExecuTorch cannot lower the model, or it has int8 weights with one scale
                per tensor, for which Vulkan has no operators.
        """
        from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner

        from kit.formats.executorch.export import export_with

        if _has_weights_per_tensor(model):
            raise BuildError(
                "Vulkan has no int8 convolution whose weights share one scale",
                "use --granularity per-channel",
            )
        export_with(VulkanPartitioner(), model, example, path)


def _has_weights_per_tensor(model: GraphModule) -> bool:
    """Return whether a convolution or linear layer has int8 weights with one scale."""
    return any(
        "dequantize_per_tensor" in str(node.target) and node.all_input_nodes[0].op == "get_attr"
        for layer in model.graph.nodes
        if layer.op == "call_function" and any(k in str(layer.target) for k in ("conv", "linear"))
        for node in layer.all_input_nodes[1:2]
        if node.op == "call_function" and node.all_input_nodes
    )
