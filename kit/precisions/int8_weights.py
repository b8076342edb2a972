"""Int8 weights that are dequantized before a layer computes in float."""

from __future__ import annotations

from kit.algorithms.interface import Algorithm
from kit.formats.properties import Thresholds
from kit.precisions.interface import Precision


class Int8Weights(Precision):
    """A quarter of the size, float arithmetic; see `kit.quantize.weight_only`.

    With ``--quantize static``, the default, weights are rounded so that their errors cancel, like
    those of an int8 file. With ``weights`` no data is read.
    """

    name = "int8-weights"
    summary = "int8 weights of all layers, float32 arithmetic"
    weight_bits, activation_bits = 8, 32
    limits = Thresholds(agreement=0.6, sqnr_db=10.0)
    prepared = True
    refusal = "it has no place for int8 weights of layers that compute in float"
    aliases = ("weight-only", "weights", "w8", "w8a32", "int8_weights", "wi8_afp32")

    def choose_method(self, method: Algorithm) -> str:
        """Return the method that rounds weights only."""
        return "weights"


PRECISION = Int8Weights()
