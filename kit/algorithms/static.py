"""Static post-training quantization: int8 weights, activation ranges from calibration.

Krishnamoorthi, arXiv 1806.08342, section 3; Jacob et al., arXiv 1712.05877.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.algorithms.interface import Algorithm
from kit.quantize import wording
from kit.quantize.options import Options, Quantized

if TYPE_CHECKING:
    from torch.fx import GraphModule

    from kit.formats.properties import Flow
    from kit.quantize.examples import ExamplesLike


def describe_qconfig(flow: Flow, options: Options) -> dict[str, str]:
    """Return the configuration of the observers, in words."""
    return wording.describe_static(flow, options)


def quantize(model: GraphModule, flow: Flow, examples: ExamplesLike, options: Options) -> Quantized:
    """Calibrate and quantize a float model for one flow."""
    if flow == "torch-ao":
        from kit.quantize import torch_ao

        return torch_ao.quantize_static(model, examples, options)
    from kit.quantize import pt2e

    return pt2e.quantize_static(model, examples, options, flow)


ALGORITHM = Algorithm(
    "static",
    summary="int8 weights and activations, ranges from calibration",
    calibrates=True,
    keeps_layers=True,
    describe=describe_qconfig,
    quantize=quantize,
    aliases=("ptq", "int8", "full-integer", "post-training", "s8", "u8"),
)
