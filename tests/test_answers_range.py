"""Ranges of a network's answers, which must not be clipped before the output moves or scales them,
and parameters of `forward` that keep their defaults."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from kit.quantize import coverage
from kit.quantize.graph import fold
from kit.quantize.simulation import Simulation
from kit.quantize.statistics import Extremes

ENDS = {
    "index": lambda y: y[:, :, 0, 0],
    "temperature": lambda y: (y / 2.5).flatten(1),
    "transposed": lambda y: y.flatten(1).t().contiguous().t(),
    "scaled": lambda y: 3.0 * y.flatten(1),
    "negative": lambda y: -y.flatten(1),
    "flattened": lambda y: y.flatten(1),
}


class Head(nn.Module):
    """A small classifier whose last layer is a convolution."""

    def __init__(self, end) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.head = nn.Conv2d(8, 5, 1)
        self.end = end

    def forward(self, x):
        return self.end(self.head(self.body(x)))


@pytest.mark.parametrize("end", ENDS)
def test_no_source_of_the_answers_is_narrower_than_the_widened_answers(end):
    folded, pictures = fold(Head(ENDS[end]).eval()), torch.randn(16, 3, 12, 12)
    simulation, extremes = Simulation(folded, "per-channel", "search"), Extremes()
    simulation.calibrate(pictures, 2.0, (extremes,))
    assert "head" in simulation.answers
    for name in simulation.answers:
        fake, (low, high) = simulation.activations[name], extremes.ends[name]
        assert fake.low <= 1.9 * min(low, 0)
        assert fake.high >= 1.9 * max(high, 0)
    inner = simulation.activations["body.1"]
    assert inner.high < 1.1 * extremes.ends["body.1"][1]


def test_the_divisor_of_a_number_is_no_answer():
    simulation = Simulation(fold(Head(lambda y: 1 / y.flatten(1)).eval()), "per-channel", "minmax")
    assert "head" not in simulation.answers


def test_averages_and_sums_of_tensors_are_not_answers_themselves():
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.maps = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            y = self.maps(x)
            return (y + y.abs()).mean((2, 3))

    simulation = Simulation(fold(Pooled().eval()), "per-channel", "minmax")
    assert "maps" not in simulation.answers
    assert len(simulation.answers) == 1


def test_values_inside_the_chosen_range_are_covered():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 2)).eval()
    folded, pictures = fold(model), torch.randn(4, 3, 8, 8)
    wider = 1.3 * pictures
    simulation, extremes = Simulation(folded, "per-channel", "minmax"), Extremes()
    simulation.calibrate(pictures, 2.0, (extremes,))
    ends = {name: (3 * fake.low, 3 * fake.high) for name, fake in simulation.activations.items()}
    assert coverage.measure_coverage(folded, pictures, wider, extremes.ends).outside > 0
    assert coverage.measure_coverage(folded, pictures, wider, extremes.ends, ends).outside == 0


class Optional(nn.Module):
    """Parameters of `forward` that a file has no input for."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x, labels=None, scale=2.0, *, flag=False):
        y = self.layer(x) * scale
        if labels is not None:
            return nn.functional.cross_entropy(y, labels)
        return y + 1 if flag else y


def test_optional_parameters_keep_their_defaults():
    model, x = Optional().eval(), torch.randn(2, 4)
    folded = fold(model, x)
    assert [node.op for node in folded.graph.nodes].count("placeholder") == 1
    with torch.inference_mode():
        torch.testing.assert_close(folded(x), model(x))
    Simulation(folded, "per-channel", "minmax").calibrate(x, 1.0)
