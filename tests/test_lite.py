"""Lite Interpreter files: what they say they contain, and what reading them leaves behind."""

from __future__ import annotations

import pytest
import small_net
import torch
from torch import nn

from kit.algorithms import get_algorithm
from kit.formats import get_format
from kit.quantize.examples import as_examples
from kit.quantize.graph import fold
from kit.quantize.options import Options


class Overloaded(nn.Module):
    """Three convolutions, two means of dimensions, and one of all values."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Conv2d(3, 3, 1) for _ in range(3))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x.mean(3).mean(2) * x.mean()


def export_quantized(model: nn.Module, name: str, folder, size: int = 8):
    images = torch.rand(4, 3, size, size, generator=torch.Generator().manual_seed(0))
    options = Options("per-channel", 1.0)
    folded = fold(model.eval(), images)
    made = get_algorithm("static").quantize(folded, "torch-ao", as_examples(images), options)
    path = folder / f"model{get_format(name).suffix}"
    get_format(name).export(made.graph, (images[:1],), path)
    return path


def test_each_overload_of_an_operator_is_counted(tmp_path):
    counts = get_format("lite").describe(export_quantized(Overloaded(), "lite", tmp_path)).operators
    assert counts["quantized::conv2d.new"] == 3
    assert counts["aten::mean.dim"] == 2
    assert counts["aten::mean"] == 1


class Branching(nn.Module):
    def forward(self, x):
        if x.size(0) > 1:
            return x.sum() + x.size(0) * x.size(1)
        return x - 1


def test_operators_of_branches_and_of_integers_are_counted(tmp_path):
    path = tmp_path / "branches.ptl"
    torch.jit.script(Branching())._save_for_lite_interpreter(str(path))
    counts = get_format("lite").describe(path).operators
    assert counts["aten::size.int"] == 3
    assert counts["aten::mul.int"] == 1
    assert counts["aten::sum"] == 1


@pytest.mark.parametrize("name", ["lite", "torchscript"])
def test_writing_and_reading_a_file_leave_torchs_engine_alone(name, tmp_path):
    other = next(
        one for one in torch.backends.quantized.supported_engines if one not in ("none", "qnnpack")
    )
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = other
    try:
        path = export_quantized(small_net.make(), name, tmp_path, size=32)
        assert torch.backends.quantized.engine == other
        get_format(name).describe(path)
        assert torch.backends.quantized.engine == other
        assert get_format(name).read_structure(path).graphs
        assert torch.backends.quantized.engine == other
    finally:
        torch.backends.quantized.engine = before
