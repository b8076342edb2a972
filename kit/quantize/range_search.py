"""Choose activation ranges by their effect on the answers.

A histogram does not show whether a rare large value matters: in MobileNetV2 the last depthwise
outputs need twice their 99.99 % range, and the additions before them less than theirs. So each
range is scaled by the factor with the smallest effect on the answers, with all other tensors in
float; of two about equal factors the wider range is chosen, because other samples are clipped
more than those that set the range.

The effect on the answers is a first-order approximation: with the gradient g of a logit, an
error e in a tensor changes it by the sum of g e. Rounding errors are nearly uncorrelated, so the
expected square is the sum of g^2 e^2. The sum of logits with random signs has, on average, the
sum of all logits' squared gradients as its squared gradient (Hutchinson, 1990), so one forward
and one backward pass suffice for all tensors and factors. Rerunning the network from each
tensor, for each factor, took four times as long for MobileNetV2 and chose no better.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from kit.manifest.build_records import Range
from kit.quantize.examples import as_examples

if TYPE_CHECKING:
    from torch import Tensor

    from kit.quantize.examples import ExamplesLike
    from kit.quantize.fake_quantizers import FakeActivation
    from kit.quantize.simulation import Simulation

SAMPLES = 16
# Input values per backward pass, whose activations are kept in memory: 0.3 GB for MobileNetV2.
VALUES = 3 * 4 * 224 * 224
WIDER_FACTORS = (1.4, 2.0, 2.8)
# 0.5 gives MobileNetV2 22.3 instead of 21.8 and 22.5 instead of 21.9 dB on 436 other pictures with
# two draws of 64 calibration pictures, and changes nothing with a third and in EfficientNet-Lite0.
NARROWER_FACTORS = (0.7, 0.5)
# In MobileNetV2's last depthwise layer the calibrated range is 3 % better than 1.4 times that
# range on the pictures of the search, but has 4 times the error on others.
ALIKE = 1.15


def search(
    simulation: Simulation,
    examples_like: ExamplesLike,
    step: Callable[[float], None] = lambda done: None,
) -> tuple[Range, ...]:
    """Choose the ranges of a calibrated simulation, in place, and return them.

    Args:
        simulation: calibrated; the ranges of its answers are not changed.
        examples_like: calibration examples; 16 of them, evenly spread, are used.
        step: called with the completed share, 0..1.
    """
    names = list(simulation.activations)
    fixed = {*simulation.answers, names[-1]}
    trials = {n: RangeTrials(simulation.activations[n]) for n in names if n not in fixed}
    examples = as_examples(examples_like)
    count = min(SAMPLES, len(examples))
    chosen = examples.take([i * len(examples) // count for i in range(count)])
    parts = chosen.split(max(1, VALUES // examples.elements))
    with suppress(NotImplementedError):  # no gradient: ranges stay as observed
        for number, part in enumerate(parts):
            simulation.differentiate(part, trials, seed=number)
            step((number + 1) / len(parts))
    ranges = []
    for name in names:
        fake = simulation.activations[name]
        factor = 1.0 if name not in trials else choose_factor(trials[name].comparable())
        fake.low, fake.high = _scaled(fake, factor)
        ranges.append(Range(name=name, low=fake.low, high=fake.high, factor=factor))
    simulation.quantize(None)
    return tuple(ranges)


class RangeTrials:
    """Effect on the answers of each factor of one tensor's range, summed over samples.

    Attributes:
        errors: by factor; of factors that the clip makes equal, only the first.
    """

    def __init__(self, fake: FakeActivation) -> None:
        self._ends: dict[float, tuple[float, float]] = {}
        for factor in (1.0, *WIDER_FACTORS, *NARROWER_FACTORS):
            ends = _scaled(fake, factor)
            if ends not in self._ends.values():
                self._ends[factor] = ends
        self.errors = dict.fromkeys(self._ends, 0.0)
        self._minimum, self._maximum = float("inf"), -float("inf")

    def __call__(self, value: Tensor, gradient: Tensor) -> None:
        """Add the rounding errors of `value`, weighted by the squared gradient."""
        from kit.quantize.fake_quantizers import round_activation

        minimum, maximum = (float(end) for end in value.aminmax())
        self._minimum, self._maximum = min(self._minimum, minimum), max(self._maximum, maximum)
        weight = gradient.nan_to_num(0.0, 0.0, 0.0).square_()
        for factor, (low, high) in self._ends.items():
            error = round_activation(value, low, high).sub_(value).square_().mul_(weight)
            self.errors[factor] += float(error.sum())

    def comparable(self) -> dict[float, float]:
        """Return the comparable errors.

        If no sample reached the ends of the range, the effect of a narrower one is unknown.
        """
        low, high = self._ends[1.0]
        reached = self._minimum <= low and self._maximum >= high
        return {f: error for f, error in self.errors.items() if reached or f >= 1}


def _scaled(fake: FakeActivation, factor: float) -> tuple[float, float]:
    """Return a scaled range, limited to the clip that outputs the tensor.

    The range itself implements a fused clip; with a wider one, it would need an operator.
    """
    return fake.low * factor, min(fake.high * factor, fake.clip)


def choose_factor(errors: dict[float, float]) -> float:
    """Return the largest factor that does no harm; or, if there is none, a smaller one that helps.

    Args:
        errors: by factor; a missing factor has the same range as a smaller one.
    """
    best, lowest = 1.0, errors[1.0]
    for factor in WIDER_FACTORS:
        if factor not in errors or errors[factor] >= ALIKE * lowest:
            break
        best, lowest = factor, min(errors[factor], lowest)
    for factor in NARROWER_FACTORS if best == 1.0 else ():
        if factor not in errors or ALIKE * errors[factor] >= lowest:
            break
        best, lowest = factor, errors[factor]
    return best
