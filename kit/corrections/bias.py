"""Weight-only bias correction.

Rounding weights shifts the mean of a layer's output; the shift is subtracted from the bias
(Nagel et al., arXiv 1906.04721, section 4.2, empirical variant).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from kit.corrections.interface import Correction

if TYPE_CHECKING:
    from torch.fx import GraphModule

    from kit.quantize.examples import ExamplesLike


def apply(
    model: GraphModule,
    examples: ExamplesLike,
    granularity: str,
    kept: Collection[str] = (),
    step: Callable[[float], None] = lambda done: None,
) -> None:
    """Correct the biases of a folded float model in place."""
    from kit.corrections._streams import correct
    from kit.quantize.fake_quantizers import round_weight

    correct(model, examples, lambda layer, _: round_weight(layer.weight, granularity), kept, step)


CORRECTION = Correction(
    "bias",
    summary="subtract the mean error of rounded weights from the biases",
    order=30,
    apply=apply,
    excludes=("rounding", "rounding corrects the biases itself, in the same pass"),
)
