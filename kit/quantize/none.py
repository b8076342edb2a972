"""No quantization: the float model, BatchNorm folded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.quantize import _words
from kit.quantize._contract import Info, Options, Quantized

if TYPE_CHECKING:
    from torch.fx import GraphModule

    from kit.quantize.examples import ExamplesLike

INFO = Info(summary="float32, BatchNorm folded", calibrates=False)


def qconfig(flow: str, options: Options) -> dict[str, str]:
    """Return that nothing is quantized, in words."""
    return dict(_words.FLOAT)


def quantize(model: GraphModule, flow: str, given: ExamplesLike, options: Options) -> Quantized:
    """Return the model as it is."""
    return Quantized(graph=model, qconfig=qconfig(flow, options))
