"""Options and results of quantization methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from kit.encodings import Encodings
from kit.recipe import Granularity
from kit.varying import Varying

if TYPE_CHECKING:
    from torch.fx import GraphModule

# Slow imports of each flow's quantizer, for calibrated ranges.
_PT2E = ("executorch.backends.xnnpack.quantizer.xnnpack_quantizer",)
QUANTIZERS = {
    "torch-ao": ("torch.ao.quantization.quantize_fx",),
    "pt2e-s8": _PT2E,
    "pt2e-u8": _PT2E,
}
# Factor that widens ranges of 16-bit activations, so that unseen values are not clipped. It costs
# one of the 16 bits.
WIDENING = 2


@dataclass(frozen=True)
class Options:
    """Options of a method.

    Attributes:
        granularity: of the weights' scales.
        observer: sets the activation ranges, see `kit.quantize.observers`.
        output_margin: factor that widens the range of the model's output after calibration. If
            the samples do not show every category, the largest logits are not observed;
            clipped logits tie, which loses top-1 answers.
        keep_float: names of convolutions and linear layers that are not quantized.
        encodings: of the whole graph, if they were chosen before; None calibrates here.
        weight_bits: 8, or 4 where the method is ``weights``.
        activation_bits: of static quantization, 8 or 16.
        varying: dimensions of the quantized graph's inputs that may vary.
    """

    granularity: Granularity
    output_margin: float
    observer: str = "percentile"
    keep_float: tuple[str, ...] = ()
    encodings: Encodings | None = None
    weight_bits: Literal[4, 8] = 8
    activation_bits: Literal[8, 16] = 8
    varying: Varying = ()


@dataclass(frozen=True)
class Quantized:
    """A quantized graph in PyTorch, the reference for the lowered file.

    Attributes:
        graph: takes the inputs of one inference.
        qconfig: configuration of the observers, in words, by tensor kind.
        integer: whether it should compute in integers, so that float operators cause a notice.
        computed_in_float: operators of the graph that compute in float; None if they are
            determined from the model file.
    """

    graph: GraphModule
    qconfig: dict[str, str]
    integer: bool = False
    computed_in_float: dict[str, int] | None = None
