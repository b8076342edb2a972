"""Quantization that a format's own tool does when the file is written, requested by the graph.

torch's exporter to ONNX has no operators for dynamic quantization, so that the graph of that flow
stays float. The request is part of the graph's metadata, which torch.fx copies with a graph:
https://docs.pytorch.org/docs/stable/fx.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn
    from torch.fx import GraphModule

_KEY = "kit.deferred_dynamic"


@dataclass(frozen=True)
class DeferredDynamic:
    """Dynamic quantization that the exporter does.

    Attributes:
        per_channel: one weight scale per output channel, or one per tensor.
    """

    per_channel: bool


def defer_dynamic(graph: GraphModule, request: DeferredDynamic) -> None:
    """Ask whoever writes this float graph to a file to quantize its layers."""
    graph.meta[_KEY] = request


def read_deferred(model: nn.Module) -> DeferredDynamic | None:
    """Return what was asked of the exporter; None if the model is written as it is."""
    from torch.fx import GraphModule

    request = model.meta.get(_KEY) if isinstance(model, GraphModule) else None
    return request if isinstance(request, DeferredDynamic) else None
