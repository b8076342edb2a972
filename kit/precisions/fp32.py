"""Float32, as the network was trained."""

from __future__ import annotations

from kit.algorithms.interface import Algorithm
from kit.formats.properties import Thresholds
from kit.precisions.interface import Precision


class Fp32(Precision):
    """Nothing is quantized; what `--quantize` says is for other files of the bundle."""

    name = "fp32"
    summary = "float32 weights and arithmetic"
    weight_bits, activation_bits = 32, 32
    limits = Thresholds(agreement=0.99, sqnr_db=40.0)
    refusal = "its kernels are for integers"
    aliases = ("float32", "float", "single", "f32", "32")

    def choose_method(self, method: Algorithm) -> str:
        """Return that nothing is quantized."""
        return "none"


PRECISION = Fp32()
