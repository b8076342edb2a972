"""Int8 weights of linear and recurrent layers, activations quantized as they come."""

from __future__ import annotations

from kit.algorithms.interface import Algorithm
from kit.formats.properties import Thresholds
from kit.precisions.interface import Precision


class Int8Dynamic(Precision):
    """What ``--quantize dynamic`` gives, beside files of other methods in one bundle."""

    name = "int8-dynamic"
    summary = "int8 weights of linear and recurrent layers, activations quantized as they come"
    weight_bits, activation_bits = 8, 8
    limits = Thresholds(agreement=0.6, sqnr_db=5.0)
    refusal = "it has no kernels that quantize their input as it comes"
    aliases = ("dynamic", "drq", "dynamic-range", "int8_dynamic", "dynamic-int8")

    def choose_method(self, method: Algorithm) -> str:
        """Return the dynamic method, whatever the recipe's is."""
        return "dynamic"


PRECISION = Int8Dynamic()
