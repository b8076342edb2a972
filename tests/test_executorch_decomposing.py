"""PReLU of vectors, and attention without a mask, before they are lowered to XNNPACK."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from kit.algorithms import get_algorithm
from kit.formats import get_format
from kit.formats.executorch.decomposing import decompose
from kit.quantize.graph import fold
from kit.quantize.options import Options

TOKENS, WIDTH = 6, 8
attend = nn.functional.scaled_dot_product_attention


class Sloped(nn.Module):
    """PReLU of a picture, of a vector, and of a sequence."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution, self.of_picture = nn.Conv2d(3, 4, 3), nn.PReLU(4)
        self.linear, self.of_vector, self.single = nn.Linear(144, 5), nn.PReLU(5), nn.PReLU()
        for module in (self.of_picture, self.of_vector, self.single):
            nn.init.uniform_(module.weight, -0.4, 0.6)

    def forward(self, x):
        y = self.of_vector(self.linear(self.of_picture(self.convolution(x)).flatten(1)))
        return y + self.single(y.unsqueeze(1) - 0.2).sum(1)


class Attending(nn.Module):
    def __init__(self, **options) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.options = nn.Linear(WIDTH, 3 * WIDTH), options

    def forward(self, x):
        parts = self.layer(x).reshape(x.shape[0], TOKENS, 3, 2, WIDTH // 2).permute(2, 0, 3, 1, 4)
        return (
            attend(*parts.unbind(0), **self.options)
            .transpose(1, 2)
            .reshape(x.shape[0], TOKENS, WIDTH)
        )


def export(model, example):
    return torch.export.export(model.eval(), (example,))


def list_operators(program) -> set[str]:
    return {str(node.target) for node in program.graph.nodes if node.op == "call_function"}


@pytest.mark.parametrize("options", [{}, {"scale": 0.3}])
def test_attention_without_a_mask_needs_no_guard(options):
    model, x = Attending(**options), torch.randn(1, TOKENS, WIDTH)
    program = decompose(export(model, x))
    assert not any(
        "attention" in name or "safe_softmax" in name for name in list_operators(program)
    )
    with torch.no_grad():
        assert torch.allclose(program.module()(x), model(x), atol=1e-6)


@pytest.mark.parametrize("options", [{"is_causal": True}, {"attn_mask": torch.ones(6, 6).bool()}])
def test_attention_with_a_mask_is_left_to_executorch(options):
    program = export(Attending(**options), torch.randn(1, TOKENS, WIDTH))
    assert decompose(program) is program


def test_prelu_of_pictures_stays_and_of_vectors_goes():
    model, x = Sloped(), torch.randn(1, 3, 8, 8)
    program = decompose(export(model, x))
    assert sum("prelu" in str(node.target) for node in program.graph.nodes) == 1
    with torch.no_grad():
        assert torch.allclose(program.module()(x), model(x), atol=1e-6)
    only = export(nn.Sequential(model.convolution, model.of_picture), x)
    assert decompose(only) is only


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "shape"), [(Sloped, (4, 3, 8, 8)), (Attending, (4, TOKENS, WIDTH))]
)
def test_int8_files_of_them_are_lowered_as_a_whole(make, shape, tmp_path):
    images = torch.randn(*shape, generator=torch.Generator().manual_seed(1))
    model = make().eval()
    static = get_algorithm("static")
    options = Options(granularity="per-channel", output_margin=1.0)
    example = images[:1]
    folded = fold(model, example)
    graph = static.quantize(folded, "pt2e-s8", example, options).graph
    format_, file = get_format("executorch"), tmp_path / "net.pte"
    format_.export(graph, (example,), file)
    assert (
        not {"aten::where.self_out", "aten::any.out"} & format_.describe(file).not_delegated.keys()
    )
    session = format_.load(file, 1)
    answer = torch.from_numpy(session.read(session.bind((example.numpy(),))())[0])
    with torch.no_grad():
        expected = model(example)
    noise = (answer - expected).square().sum()
    assert 10 * torch.log10(expected.square().sum() / noise) > 20
