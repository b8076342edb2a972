"""Static post-training quantization: int8 weights, activation ranges from calibration.

Krishnamoorthi, arXiv 1806.08342, section 3; Jacob et al., arXiv 1712.05877.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.algorithms.interface import Algorithm
from kit.quantize import _words
from kit.quantize._contract import Options, Quantized

if TYPE_CHECKING:
    from torch.fx import GraphModule

    from kit.formats.interface import Flow
    from kit.quantize.examples import ExamplesLike


def qconfig(flow: Flow, options: Options) -> dict[str, str]:
    """Return what is asked of the observers, in words."""
    return _words.static(flow, options)


def quantize(model: GraphModule, flow: Flow, given: ExamplesLike, options: Options) -> Quantized:
    """Calibrate and quantize a float model for one flow."""
    if flow == "torch-ao":
        from kit.quantize import _torch_ao

        return _torch_ao.quantize_static(model, given, options)
    from kit.quantize import _pt2e

    return _pt2e.quantize_static(model, given, options, flow)


ALGORITHM = Algorithm(
    "static",
    summary="int8 weights and activations, ranges from calibration",
    calibrates=True,
    describe=qconfig,
    quantize=quantize,
)
