"""No quantization: the float model, BatchNorm folded."""

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
    """Return that nothing is quantized, in words."""
    return dict(wording.FLOAT)


def quantize(model: GraphModule, flow: Flow, examples: ExamplesLike, options: Options) -> Quantized:
    """Return the model as it is."""
    return Quantized(graph=model, qconfig=describe_qconfig(flow, options))


ALGORITHM = Algorithm(
    "none",
    summary="float32, BatchNorm folded",
    calibrates=False,
    describe=describe_qconfig,
    quantize=quantize,
    precision="fp32",
    aliases=("fp32", "float32", "float", "no", "off", "false"),
)
