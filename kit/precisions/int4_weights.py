"""Int4 weights of linear layers, with a scale for each group of inputs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kit.algorithms.interface import Algorithm
from kit.formats.properties import Flow, Thresholds
from kit.precisions.interface import CandidateRequest, Precision
from kit.quantize.options import Options, Quantized

if TYPE_CHECKING:
    from torch.fx import GraphModule


class Int4Weights(Precision):
    """An eighth of the size of linear layers; all others stay float32."""

    name = "int4-weights"
    summary = "int4 weights of linear layers in groups of 32, all others float32"
    weight_bits, activation_bits = 4, 8
    limits = Thresholds(agreement=0.5, sqnr_db=5.0)
    refusal = "it has no kernels for int4 weights in groups"
    aliases = ("int4", "i4", "w4", "q4", "4bit", "4-bit", "4", "qb4w", "8da4w", "w4a8", "w4a16")

    def choose_method(self, method: Algorithm) -> str:
        """Return the method that rounds weights only."""
        return "weights"

    def describe(self, method: Algorithm, flow: Flow, options: Options) -> dict[str, str]:
        """Return the types of weights and activations."""
        return method.describe(flow, replace(options, weight_bits=4))

    def make_candidate(self, model: GraphModule, request: CandidateRequest) -> Quantized:
        """Return the graph with int4 weights."""
        options = replace(request.options, weight_bits=4)
        return request.method.quantize(model, request.flow, request.examples, options)


PRECISION = Int4Weights()
