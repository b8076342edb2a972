"""Int8 weights and arithmetic, by the method of the recipe."""

from __future__ import annotations

from kit.algorithms.interface import Algorithm
from kit.errors import RecipeError
from kit.formats.properties import Thresholds
from kit.precisions.interface import Precision


class Int8(Precision):
    """What ``--quantize static``, ``qat`` or ``dynamic`` gives."""

    name = "int8"
    summary = "int8 weights and activations, by the method that --quantize names"
    weight_bits, activation_bits = 8, 8
    limits = Thresholds(agreement=0.6, sqnr_db=5.0)
    refusal = "its kernels compute in float"
    aliases = ("i8", "s8", "u8", "uint8", "qint8", "w8a8", "8", "quantized")

    def choose_method(self, method: Algorithm) -> str:
        """Return the recipe's method.

        Raises:
            RecipeError: it does not give int8.
        """
        if method.precision != self.name:
            raise RecipeError(
                f"precisions has int8, and --quantize {method.name} gives {method.precision}",
                "use --quantize static",
            )
        return method.name


PRECISION = Int8()
