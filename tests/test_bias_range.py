"""Biases of channels whose weights are zero or tiny fit into int32 in every format."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch
from bundle_samples import answer_images
from torch import nn

from kit import formats
from kit.algorithms import get_algorithm
from kit.comparison import compute_sqnr_db
from kit.encodings import Encodings
from kit.quantize.bias_range import fit_biases
from kit.quantize.encoding_choice import choose_encodings
from kit.quantize.examples import Examples
from kit.quantize.graph import fold
from kit.quantize.options import Options

SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("onnx", "executorch", "litert")]


class Pruned(nn.Module):
    """A BatchNorm without weight in two channels, whose bias alone is their value."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.last = nn.Linear(8, 4)
        with torch.no_grad():
            self.norm.weight[:2] = 0
            self.norm.bias[:] = bias

    def forward(self, x):
        return self.last(self.norm(self.conv(x)).relu().mean((2, 3)))


class Kinds(nn.Module):
    """Layers whose weights have no encoding of their own, with channels of zeros."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.up, self.line, self.last = (
            *(nn.ConvTranspose2d(3, 8, 2, 2), nn.Conv1d(8, 8, 3)),
            nn.Linear(8, 4),
        )
        with torch.no_grad():
            self.up.weight[:, :2] = self.line.weight[:2] = 0
            self.up.bias[:] = self.line.bias[:] = 3

    def forward(self, x):
        return self.last(self.line(self.up(x).relu().flatten(2)).relu().mean(2))


class Shared(nn.Module):
    """One convolution of a large and of a small tensor: the small one decides on its scales."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.large, self.small = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 8, 1)
        self.both, self.last = nn.Conv2d(8, 8, 1), nn.Linear(8, 4)
        with torch.no_grad():
            self.small.weight /= 16
            self.small.bias /= 16
            self.both.weight[:2] = 0
            self.both.bias[:] = 3

    def forward(self, x):
        parts = [self.both(one(x).relu()).relu() for one in (self.large, self.small)]
        return self.last((parts[0] + parts[1]).mean((2, 3)))


@pytest.fixture(scope="module")
def examples() -> Examples:
    values = torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return Examples((values,), ((1, 3, 8, 8),), True)


def measure_file(model, examples, name, folder, options) -> float:
    """Return the SQNR of a file's answers against the float model's, in dB."""
    if find_spec({"litert": "litert_torch"}.get(name, "torch")) is None:
        pytest.skip(f"the package of {name} is not installed")
    format_ = formats.get_format(name)
    folded = fold(model.eval(), examples)
    graph = get_algorithm("static").quantize(folded, format_.flow, examples, options).graph
    file = folder / f"model{format_.suffix}"
    format_.export(graph, examples.first(), file)
    (samples,) = examples.tensors
    with torch.no_grad():
        expected = model(samples).numpy()
    return compute_sqnr_db(expected, answer_images(format_.load(file, 1), samples.numpy()))


@pytest.mark.parametrize("name", ["lite", *SLOW])
def test_files_add_the_whole_bias(name, examples, tmp_path):
    options = Options("per-channel", 1.0, "minmax")
    assert measure_file(Pruned(6.0), examples, name, tmp_path, options) > 35


@pytest.mark.parametrize("make", [Kinds, Shared])
@pytest.mark.parametrize("name", ["lite", *SLOW[:2]])
def test_so_do_layers_without_an_encoding_and_layers_called_twice(name, make, examples, tmp_path):
    options = Options("per-channel", 1.0, "minmax")
    assert measure_file(make(), examples, name, tmp_path, options) > 35


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnx", "litert"])
def test_finer_activations_leave_room_for_the_bias(name, examples, tmp_path):
    options = Options("per-channel", 1.0, "minmax", activation_bits=16)
    assert measure_file(Pruned(6.0), examples, name, tmp_path, options) > 40


def test_given_scales_are_raised_where_a_bias_does_not_fit(examples):
    folded = fold(Pruned(6.0).eval(), examples)
    chosen = choose_encodings(folded, examples, Options("per-channel", 1.0, "minmax"))
    assert fit_biases(folded, chosen) is chosen
    tiny = [
        one.model_copy(update={"scales": (2**-24, *one.scales[1:])}) if "conv" in one.name else one
        for one in chosen.weights
    ]
    given = Encodings(activations=chosen.activations, weights=tuple(tiny))
    assert fit_biases(folded, given) == chosen


def test_ordinary_scales_are_those_of_the_weights(examples):
    model = Pruned(6.0)
    with torch.no_grad():
        model.norm.weight[:] = 1
    folded = fold(model.eval(), examples)
    chosen = choose_encodings(folded, examples, Options("per-channel", 1.0, "minmax"))
    largest = folded.conv.weight.abs().flatten(1).amax(1) / 127
    assert chosen.weights[0].scales == tuple(largest.tolist())
