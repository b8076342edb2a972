"""Quantization-aware training: the float model learns to bear int8, then `static` quantizes it.

Training happens once, in the parent, on a simulation of int8 that stands for all formats
(`kit.quantize._simulate`, `kit.quantize._train`); what is quantized here is its result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.quantize._contract import Info, Options, Quantized

if TYPE_CHECKING:
    from torch.fx import GraphModule

    from kit.quantize.examples import ExamplesLike

INFO = Info(
    summary="static, after training the float model to bear int8", calibrates=True, trains=True
)


def qconfig(flow: str, options: Options) -> dict[str, str]:
    """Return what is asked of the observers, in words."""
    from kit.quantize import static

    return static.qconfig(flow, options)


def quantize(model: GraphModule, flow: str, given: ExamplesLike, options: Options) -> Quantized:
    """Calibrate and quantize the trained float model for one flow."""
    from kit.quantize import static

    return static.quantize(model, flow, given, options)
