"""Float16, with float32 at inputs and outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.algorithms.interface import Algorithm
from kit.formats.properties import Flow, Thresholds
from kit.precisions.interface import CandidateRequest, Precision
from kit.quantize import half
from kit.quantize.options import Options, Quantized

if TYPE_CHECKING:
    from torch.fx import GraphModule


class Fp16(Precision):
    """Half of the size; see `kit.quantize.half`."""

    name = "fp16"
    summary = "float16 weights, and arithmetic where the runtime has it"
    weight_bits, activation_bits = 16, 16
    # Float16 has 11 bits: MobileNetV2 keeps 38 to 45 dB, each runtime by its order of additions.
    limits = Thresholds(agreement=0.9, sqnr_db=25.0)
    refusal = "its kernels compute in float32 or in integers"
    largest = "float16, ±65504"
    aliases = ("float16", "half", "f16", "16")

    def choose_method(self, method: Algorithm) -> str:
        """Return that nothing is quantized."""
        return "none"

    def describe(self, method: Algorithm, flow: Flow, options: Options) -> dict[str, str]:
        """Return the types of weights and activations."""
        return dict(half.WORDS)

    def make_candidate(self, model: GraphModule, request: CandidateRequest) -> Quantized:
        """Return the float graph, cast."""
        cast = half.cast_to_half(model, request.inputs, request.outputs)
        return Quantized(graph=cast, qconfig=dict(half.WORDS))


PRECISION = Fp16()
