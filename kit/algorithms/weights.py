"""Weight-only quantization: integer weights, rounded to the nearest level; no data is needed.

Layers compute in float with dequantized weights, so that a file gets small and answers hardly
change; how fast it is depends on the runtime. See `kit.quantize.weight_only`.
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
    """Return the configuration of weights and activations, in words."""
    return wording.describe_weights(flow, options)


def quantize(model: GraphModule, flow: Flow, examples: ExamplesLike, options: Options) -> Quantized:
    """Quantize the weights of layers.

    Raises:
        BuildError: there are none that can be quantized.
    """
    from kit.quantize import weight_only
    from kit.quantize.examples import as_examples

    example = as_examples(examples).first()
    graph = weight_only.quantize_weights(
        model, example, options, computes_in_int8=flow != "pt2e-u8"
    )
    return Quantized(graph=graph, qconfig=describe_qconfig(flow, options))


ALGORITHM = Algorithm(
    "weights",
    summary="int8 weights of all layers, which compute in float; needs no pictures",
    calibrates=False,
    keeps_layers=True,
    describe=describe_qconfig,
    quantize=quantize,
    precision="int8-weights",
    aliases=("weight-only", "w8", "weights-only"),
)
