"""Int8 weights with int16 activations, for NPUs, and networks that int8 activations hurt."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kit.algorithms.interface import Algorithm
from kit.errors import RecipeError
from kit.formats.properties import Flow, Thresholds
from kit.precisions.interface import CandidateRequest, Precision
from kit.quantize.options import Options, Quantized

if TYPE_CHECKING:
    from torch.fx import GraphModule


class Int16Activations(Precision):
    """Static quantization whose activations have 256 times as many levels.

    Ranges are minimum and maximum of the calibration samples: with 65,536 levels, rounding costs
    less than clipping does, so that nothing is searched.
    """

    name = "int16-activations"
    summary = "int8 weights and int16 activations, ranges from calibration"
    weight_bits, activation_bits = 8, 16
    limits = Thresholds(agreement=0.6, sqnr_db=10.0)
    refusal = "it has no kernels for int16 activations"
    aliases = ("int16", "i16", "w8a16", "16x8", "int16x8", "a16w8", "8x16")

    def choose_method(self, method: Algorithm) -> str:
        """Return the recipe's method.

        Raises:
            RecipeError: it does not calibrate.
        """
        if not method.calibrates:
            raise RecipeError(
                f"precisions has {self.name}, and --quantize {method.name} calibrates no "
                "activations",
                "use --quantize static",
            )
        return method.name

    def describe(self, method: Algorithm, flow: Flow, options: Options) -> dict[str, str]:
        """Return the types of weights and activations, and how ranges are set."""
        return method.describe(flow, _widen(options))

    def make_candidate(self, model: GraphModule, request: CandidateRequest) -> Quantized:
        """Return the graph with int16 activations."""
        return request.method.quantize(
            model, request.flow, request.examples, _widen(request.options)
        )


def _widen(options: Options) -> Options:
    return replace(options, activation_bits=16, observer="minmax", encodings=None)


PRECISION = Int16Activations()
