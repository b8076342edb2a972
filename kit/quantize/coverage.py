"""Check whether a calibration set covers the activations of typical samples.

Static quantization clips values outside the chosen ranges. A set that is too small, or whose
samples are not typical (noise or one grey image instead of pictures), gives plausible ranges and a
plausible signal to noise ratio, but a model with wrong answers. It is revealed by the share of a
layer's values on typical samples that are outside its range. Measured for MobileNetV2 on natural
pictures, worst layer: calibrated with 32 pictures 0.02 %, 8 pictures 0.3 %, noise 2 to 4 %, grey
29 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from kit.quantize.examples import as_examples
from kit.quantize.nodes import name_node
from kit.quantize.statistics import Extremes, Outside, collect

if TYPE_CHECKING:
    from torch.fx import GraphModule

    from kit.quantize.examples import ExamplesLike

TOLERATED = 0.01  # above it the build fails
DOUBTFUL = 0.002  # above it there is a warning


@dataclass(frozen=True)
class Coverage:
    """The layer that the calibration set covers worst.

    Attributes:
        layer: name of the layer.
        outside: share of its values outside the calibrated and the chosen range, 0..1.
    """

    layer: str
    outside: float


def measure_coverage(
    model: GraphModule,
    calibration: ExamplesLike,
    natural: ExamplesLike,
    calibration_extremes: Mapping[str, tuple[float, float]] | None = None,
    chosen: Mapping[str, tuple[float, float]] = MappingProxyType({}),
    margin: float = 1.0,
) -> Coverage:
    """Compare the values on typical samples with the ranges on the calibration set.

    Args:
        model: folded.
        calibration: the calibration set.
        natural: typical samples.
        calibration_extremes: minimum and maximum of each tensor on `calibration`, by its name;
            None computes them.
        chosen: ranges of the quantized tensors by name, if known: values inside are not clipped.
        margin: factor that widens all other ranges, which hold zero if it is above 1.
    """
    extremes = Extremes()
    if not calibration_extremes:
        collect(model, as_examples(calibration).split(1), (extremes,))
    ends = calibration_extremes or extremes.ends
    if chosen:  # other tensors, such as averages, have the range of their input
        pairs = ((name, (*ends[name], *chosen[name])) for name in ends if name in chosen)
        ends = {name: (min(values), max(values)) for name, values in pairs}
    if margin > 1:
        ends = {n: (margin * min(low, 0), margin * max(high, 0)) for n, (low, high) in ends.items()}
    outside = Outside(ends)
    collect(model, as_examples(natural).split(1), (outside,))
    if not outside.total:  # the encodings name no tensor with a range of its own: none is clipped
        (last, *_) = model.graph.output_node().all_input_nodes
        return Coverage(layer=name_node(last), outside=0.0)
    shares = {name: outside.beyond[name] / count for name, count in outside.total.items()}
    worst = max(shares, key=lambda name: shares[name])
    return Coverage(layer=worst, outside=shares[worst])
