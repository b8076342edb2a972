"""Integer weights of layers that share a weight, have equal ones, or have similar names."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch import nn

from kit.algorithms import get_algorithm
from kit.formats import get_format
from kit.quantize.examples import as_examples
from kit.quantize.graph import fold
from kit.quantize.options import Options
from kit.quantize.weight_only import quantize_weights

WIDTH = 64
needs_litert = pytest.mark.skipif(
    find_spec("litert_torch") is None or find_spec("ai_edge_litert") is None,
    reason="the extra litert is not installed",
)


class Equal(nn.Module):
    """A layer that is called twice, two with one weight, and two of zeros without a bias."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.twice, self.first = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.tied = nn.Linear(WIDTH, WIDTH)
        self.tied.weight = self.first.weight
        self.zeros = nn.ModuleList(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(2))
        for layer in self.zeros:
            nn.init.zeros_(layer.weight)

    def forward(self, x):
        x = self.twice(self.twice(x).relu()).relu()
        x = self.tied(self.first(x).relu())
        x = x + self.zeros[0](x)
        return x + self.zeros[1](x)


class Named(nn.Module):
    """Layers whose names differ by a dot only."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(2))
        self.fc_1 = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        return self.fc_1(self.fc[1](self.fc[0](x).relu()).relu())


class Mirrored(nn.Module):
    """An autoencoder whose two halves share a weight, with other channels going out."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encode, self.decode = nn.Conv2d(4, 8, 3), nn.ConvTranspose2d(8, 4, 3)
        with torch.no_grad():
            self.encode.weight.mul_(torch.logspace(-2, 0, 4)[:, None, None])
        self.decode.weight = self.encode.weight

    def forward(self, x):
        return self.decode(self.encode(x).relu())


def quantize(model: nn.Module, example: torch.Tensor, bits: int):
    options = Options("per-channel", 1.0, weight_bits=bits)
    folded = fold(model.eval(), example)
    return quantize_weights(folded, (example,), options, computes_in_int8=False)


def sqnr(expected: torch.Tensor, actual: torch.Tensor) -> float:
    return float(10 * torch.log10(expected.square().sum() / (expected - actual).square().sum()))


def run_file(name: str, graph, example: torch.Tensor, folder) -> torch.Tensor:
    format_ = get_format(name)
    path = folder / f"model{format_.suffix}"
    format_.export(graph, (example,), path)
    session = format_.load(path, 1)
    (answer,) = session.read(session.bind((example.numpy(),))())
    return torch.from_numpy(np.array(answer))


@pytest.mark.slow
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("name", ["onnx", pytest.param("litert", marks=needs_litert)])
def test_equal_weights_are_all_stored_in_integers(name, bits, tmp_path):
    example = torch.randn(2, 3, WIDTH, generator=torch.Generator().manual_seed(0))
    graph = quantize(Equal(), example, bits)
    answer = run_file(name, graph, example, tmp_path)
    with torch.no_grad():
        assert sqnr(graph(example), answer) > (100 if bits == 8 else 25)
    size = (tmp_path / f"model{get_format(name).suffix}").stat().st_size
    assert size < 6 * WIDTH * WIDTH * 2  # in float, four weights alone take 4 * 4 bytes


@pytest.mark.slow
@needs_litert
def test_equal_weights_are_all_stored_if_activations_are_quantized_as_they_come(tmp_path):
    example = torch.randn(1, 3, WIDTH, generator=torch.Generator().manual_seed(0))
    folded = fold(Equal().eval(), example)
    options = Options("per-channel", 1.0)
    made = get_algorithm("dynamic").quantize(folded, "pt2e-s8", as_examples(example), options)
    answer = run_file("litert", made.graph, example, tmp_path)
    with torch.no_grad():
        assert sqnr(folded(example), answer) > 30


@pytest.mark.parametrize("bits", [8, 4])
def test_layers_of_similar_names_keep_their_own_integers(bits):
    model, example = Named(), torch.randn(8, WIDTH, generator=torch.Generator().manual_seed(0))
    graph = quantize(model, example, bits)
    with torch.no_grad():
        assert sqnr(model(example), graph(example)) > (35 if bits == 8 else 15)


def test_layers_that_share_a_weight_have_scales_of_their_own_channels():
    model = Mirrored()
    example = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    graph = quantize(model, example, 8)
    with torch.no_grad():
        assert sqnr(model(example), graph(example)) > 35
