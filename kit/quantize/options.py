"""What quantization methods take and give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from kit.encodings import Encodings

if TYPE_CHECKING:
    from torch.fx import GraphModule

Granularity = Literal["per-channel", "per-tensor"]

# The modules that take long to import where a flow is quantized with calibrated ranges.
_PT2E = ("executorch.backends.xnnpack.quantizer.xnnpack_quantizer",)
QUANTIZERS = {
    "torch-ao": ("torch.ao.quantization.quantize_fx",),
    "pt2e-s8": _PT2E,
    "pt2e-u8": _PT2E,
}


@dataclass(frozen=True)
class Options:
    """What a method may be told.

    Attributes:
        granularity: of the weights' scales.
        observer: what sets the activation ranges, see `kit.quantize.observers`.
        output_margin: factor by which the range of the model's output is widened after
            calibration. Pictures that do not show every category leave the largest logits
            unseen; clipped logits tie, and ties lose the first place.
        keep_float: names of convolutions and linear layers that are not quantized.
        encodings: that were chosen already, of the whole graph; None calibrates here.
    """

    granularity: Granularity
    output_margin: float
    observer: str = "percentile"
    keep_float: tuple[str, ...] = ()
    encodings: Encodings | None = None


@dataclass(frozen=True)
class Quantized:
    """A quantized graph that computes in PyTorch what the lowered file must compute.

    Attributes:
        graph: takes the inputs of one inference.
        qconfig: what was asked of the observers, in words, by tensor kind.
        integer: it is meant to compute in integers, so that float operators are worth a note.
        computed_in_float: operators of the graph that compute in float; None where that is
            read off the model file.
    """

    graph: GraphModule
    qconfig: dict[str, str]
    integer: bool = False
    computed_in_float: dict[str, int] | None = None
