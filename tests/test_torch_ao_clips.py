"""Clips in networks of qnnpack's kernels, which the Lite Interpreter and TorchScript run."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from kit.comparison import compute_sqnr_db
from kit.quantize import torch_ao
from kit.quantize.graph import fold
from kit.quantize.options import Options


class Network(nn.Module):
    """Two convolutions whose sum is clipped, and a layer that tells the channels apart."""

    def __init__(self, clip) -> None:
        super().__init__()
        self.one, self.other = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(3, 8, 3, padding=1)
        self.last, self.clip = nn.Linear(8, 5), clip

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.clip(self.one(x) * 3 + self.other(x)).mean((2, 3)))


class Single(Network):
    """A clip of a convolution's output."""

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.clip(self.one(x)).mean((2, 3)))


CLIPS = {
    "relu6": functional.relu6,
    "ReLU6": nn.ReLU6(),
    "Hardtanh": nn.Hardtanh(-1, 1),
    "hardtanh": lambda x: functional.hardtanh(x, -0.5, 2),
    "clamp": lambda x: x.clamp(-1, 1),
    "clamp by name": lambda x: torch.clamp(x, min=-1, max=0.5),
    "no upper bound": lambda x: x.clamp(min=-0.25),
    "no lower bound": lambda x: torch.clamp(x, max=0.25),
    "bounds beyond a byte": lambda x: x.clamp(-1000, 1000),
}


@pytest.fixture
def qnnpack():
    engine = torch.backends.quantized.engine
    torch.backends.quantized.engine = "qnnpack"
    yield
    torch.backends.quantized.engine = engine


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize("network", [Network, Single])
def test_a_clip_computes_what_float_does(network, name, qnnpack) -> None:
    """A kernel that mixes up channels or bounds has 0 to 6 dB."""
    torch.manual_seed(0)
    model = network(CLIPS[name]).eval()
    samples = torch.randn(8, 3, 12, 12)
    folded = fold(model, samples)
    graph = torch_ao.quantize_static(folded, samples, Options("per-channel", 1.0)).graph
    with torch.inference_mode():
        answers, expected = graph(samples), model(samples)
    sqnr = compute_sqnr_db(expected.numpy(), answers.numpy())
    assert sqnr is not None
    assert sqnr > 18
