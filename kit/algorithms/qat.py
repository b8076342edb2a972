"""Quantization-aware training: the float model learns to bear int8, then `static` quantizes it.

Training happens once, in the parent, on a simulation of int8 that stands for all formats
(`kit.quantize.simulation`, `kit.quantize.training`); what is quantized here is its result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.algorithms.interface import Algorithm
from kit.quantize.options import Options, Quantized

if TYPE_CHECKING:
    from torch.fx import GraphModule

    from kit.formats.properties import Flow
    from kit.quantize.examples import ExamplesLike


def describe_qconfig(flow: Flow, options: Options) -> dict[str, str]:
    """Return the configuration of the observers, in words."""
    from kit.algorithms import static

    return static.describe_qconfig(flow, options)


def quantize(model: GraphModule, flow: Flow, examples: ExamplesLike, options: Options) -> Quantized:
    """Calibrate and quantize the trained float model for one flow."""
    from kit.algorithms import static

    return static.quantize(model, flow, examples, options)


ALGORITHM = Algorithm(
    "qat",
    summary="static, after training the float model to bear int8",
    calibrates=True,
    keeps_layers=True,
    trains=True,
    describe=describe_qconfig,
    quantize=quantize,
    aliases=("training", "quantization-aware", "fake-quant"),
)
