"""Graphs for quantization: all outputs of the model, a name for each tensor, shared weights."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn
from torch.nn import functional

from kit.algorithms import get_algorithm
from kit.corrections import get_correction
from kit.formats import get_format
from kit.quantize.graph import fold
from kit.quantize.nodes import list_layer_names, name_node
from kit.quantize.options import Options

WIDTH = 8
STATIC = Options("per-channel", output_margin=1.0, observer="minmax")


class Loose(nn.Module):
    """A weight outside a layer, which symbolic tracing does not find."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 4)
        self.weight = nn.Parameter(torch.randn(6, WIDTH) / 4)
        self.register_buffer("constant", torch.ones(1, 3))

    def hidden(self, x):
        return functional.linear(self.first(x).relu(), self.weight), self.first(x)

    def forward(self, x):
        one, other = self.hidden(x)
        return one, self.second(other)


class OneTuple(Loose):
    def forward(self, x):
        return (self.hidden(x)[0],)


class Mixed(Loose):
    """Outputs that are integers, an input, and the same tensor twice, in a list."""

    def forward(self, x):
        one, _ = self.hidden(x)
        return [one, one.argmax(-1), x, one]


class Constant(Loose):
    def forward(self, x):
        return self.hidden(x)[0], self.constant + 1


class Heads(nn.Module):
    """Two heads on attention, which symbolic tracing does not enter."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
        self.one, self.other = nn.Linear(WIDTH, 3), nn.Linear(WIDTH, 5)

    def forward(self, x):
        x = x[:, None]
        x = self.attention(x, x, x)[0][:, 0]
        return self.one(x), self.other(x)


def draw(count: int = 16) -> torch.Tensor:
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(1))


def make(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return kind().eval()


def assert_equal(one, other) -> None:
    assert isinstance(one, torch.Tensor) == isinstance(other, torch.Tensor)
    pairs = [(one, other)] if isinstance(one, torch.Tensor) else zip(one, other, strict=True)
    for left, right in pairs:
        assert left.dtype == right.dtype
        assert torch.allclose(left, right, atol=1e-5)


@pytest.mark.parametrize("kind", [Loose, OneTuple, Mixed, Constant, Heads])
def test_every_output_is_kept(kind):
    model, x = make(kind), draw()
    with torch.no_grad():
        assert_equal(fold(model, x)(x), model(x))


@pytest.mark.parametrize("kind", [Loose, Mixed, Constant])
@pytest.mark.parametrize("flow", ["pt2e-s8", "torch-ao"])
def test_every_output_is_quantized(kind, flow):
    model, x = make(kind), draw()
    quantized = get_algorithm("static").quantize(fold(model, x), flow, x, STATIC)
    with torch.no_grad():
        answers, expected = quantized.graph(x[:1]), model(x[:1])
    for answer, right in zip(answers, expected, strict=True):
        assert answer.shape == right.shape
        assert (answer - right).abs().max() <= 0.1 * right.abs().max()


@pytest.mark.parametrize("kind", [Mixed, Constant])
def test_a_file_has_every_output(kind, tmp_path):
    model, x = make(kind), draw(1)
    onnx, file = get_format("onnx"), tmp_path / "model.onnx"
    onnx.export(fold(model, x), (x,), file)
    answers = onnx.load(file, 1).bind((x.numpy(),))()
    with torch.no_grad():
        assert_equal([torch.from_numpy(one) for one in answers], model(x))


# ---- names


class Siblings(nn.Module):
    """A layer that is called twice, and one with the name of its second call."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.conv_2 = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        return self.conv_2(self.conv(self.conv(x).relu()).relu())


class NamedLikeCall(nn.Module):
    """The second call of the ReLU is `relu_2`, and so is the third operation of torch."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.relu = nn.Linear(WIDTH, WIDTH), nn.ReLU()

    def forward(self, x):
        return torch.relu(self.relu(1 - self.relu(self.linear(x))) - 0.5)


class NamedLikeSum(nn.Module):
    """A layer with the name of the second sum."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.add_1 = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        x = self.linear(x) + x
        return self.add_1(self.linear(x) + x)


class NamedLikeInput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.x = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        return self.x(x * 10) + x


NAMED = [Siblings, NamedLikeCall, NamedLikeSum, NamedLikeInput]


@pytest.mark.parametrize("kind", NAMED)
def test_tensors_of_a_graph_have_different_names(kind):
    model, x = make(kind), draw()
    folded = fold(model, x)
    with torch.no_grad():
        assert_equal(folded(x), model(x))
    names = Counter(name_node(node) for node in folded.graph.nodes)
    assert [name for name, count in names.items() if count > 1] == []
    layers = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    assert layers <= set(list_layer_names(folded))


@pytest.mark.parametrize("kind", NAMED)
@pytest.mark.parametrize("flow", ["pt2e-s8", "torch-ao"])
def test_graphs_with_such_names_are_quantized(kind, flow):
    model, x = make(kind), draw(64)
    quantized = get_algorithm("static").quantize(fold(model, x), flow, x, STATIC)
    with torch.no_grad():
        right = model(x)
        assert (quantized.graph(x[:1]) - right[:1]).abs().max() < 0.05 * right.abs().max()


# ---- tied weights


class TiedTable(nn.Module):
    """The last layer has the weights of the table, as in language models."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.hidden = nn.Embedding(20, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, ids):
        return functional.linear(self.hidden(self.table(ids)).relu(), self.table.weight)


class TiedLayers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.last, self.relu = nn.Linear(WIDTH, WIDTH), nn.ReLU()
        self.last.weight = self.first.weight
        with torch.no_grad():
            self.first.weight.mul_(torch.logspace(-1, 1, WIDTH)[:, None])

    def forward(self, x):
        return self.last(self.relu(self.middle(self.relu(self.first(x)))))


class TiedGate(nn.Module):
    """Folding scales the weights of the layer before a hard-sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.last = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.last.weight = self.gate.weight
        self.act = nn.Hardsigmoid()

    def forward(self, x):
        return self.last(x * self.act(self.gate(x)))


@pytest.mark.parametrize("correction", ["cle", "equalize", "bias", "rounding"])
@pytest.mark.parametrize("kind", [TiedTable, TiedLayers, TiedGate])
def test_a_correction_changes_no_layer_that_shares_its_weights(kind, correction):
    model = make(kind)
    x = torch.arange(60).view(12, 5) % 20 if kind is TiedTable else draw()
    folded = fold(model, x)
    get_correction(correction).apply(folded, x, "per-channel")
    with torch.no_grad():
        expected = model(x)
        assert (folded(x) - expected).abs().max() < 0.1 * expected.std()
