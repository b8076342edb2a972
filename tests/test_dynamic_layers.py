"""Dynamic quantization reaches recurrent layers and embeddings, and says what stays float."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from kit.algorithms import get_algorithm
from kit.formats import get_format
from kit.quantize import torch_ao
from kit.quantize.embeddings import quantize_embeddings
from kit.quantize.examples import Examples
from kit.quantize.graph import fold
from kit.quantize.options import Options

WORDS, WIDTH, LENGTH = 300, 32, 4
OPTIONS = Options(granularity="per-channel", output_margin=1.0)


class Language(nn.Module):
    """A word model: embedding, recurrent layer, decoder."""

    def __init__(self, layer) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.layer = nn.Embedding(WORDS, WIDTH), layer(WIDTH, WIDTH, batch_first=True)
        self.norm, self.decoder = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WORDS)

    def forward(self, ids):
        return self.decoder(self.norm(self.layer(self.words(ids))[0]))


class Tied(nn.Module):
    """The decoder has the weight of the table, and the table is a parameter."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Parameter(torch.randn(WORDS, WIDTH))

    def forward(self, ids):
        if ids.shape[1] > 2:  # not traceable symbolically
            ids = ids[:, :2]
        return nn.functional.embedding(ids, self.table) @ self.table.t()


@pytest.fixture
def examples():
    ids = torch.randint(0, WORDS, (2, LENGTH), generator=torch.Generator().manual_seed(0))
    return Examples((ids,), ((1, LENGTH),), True)


def sqnr(expected, actual) -> float:
    return float(10 * torch.log10(expected.square().sum() / (expected - actual).square().sum()))


def test_tables_have_int8_rows_and_the_float_ones_are_gone(examples):
    model = Language(nn.LSTM).eval()
    folded = fold(model, examples)
    made, count = quantize_embeddings(folded)
    assert count == 1
    state = made.state_dict()
    assert not any(len(v) == WORDS and v.dtype == torch.float32 and v.shape[1:] == (WIDTH,)
                   and "decoder" not in k for k, v in state.items())  # fmt: skip
    assert state["embedding_0_levels"].dtype == torch.int8
    with torch.no_grad():
        (ids,) = examples.first()
        assert sqnr(model(ids), made(ids)) > 40
        assert torch.equal(folded(ids), model(ids))  # the model itself is as it was


@pytest.mark.slow
def test_a_table_that_is_also_a_weight_stays_for_that(examples):
    model = Tied().eval()
    made, count = quantize_embeddings(fold(model, examples))
    assert count == 1
    with torch.no_grad():
        (ids,) = examples.first()
        assert sqnr(model(ids), made(ids)) > 40


class Passed(nn.Module):
    """Passes the arguments of its lookups in several ways."""

    def __init__(self, *by_position: object, **by_name: object) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Parameter(torch.randn(WORDS, WIDTH))
        self.register_buffer("first", torch.arange(LENGTH))
        self.by_position, self.by_name = by_position, by_name

    def forward(self, ids):
        words = nn.functional.embedding(ids, self.table, *self.by_position, **self.by_name)
        places = nn.functional.embedding(input=self.first, weight=self.table)
        return words + places


def test_lookups_are_recognized_in_whichever_way_their_arguments_are_passed():
    model = torch.fx.symbolic_trace(Passed().eval())
    made, count = quantize_embeddings(model)
    assert count == 1
    assert "table" not in made.state_dict()
    assert torch.equal(made.first, torch.arange(LENGTH))
    ids = torch.arange(LENGTH)[None]
    with torch.no_grad():
        assert sqnr(model(ids), made(ids)) > 40


@pytest.mark.parametrize("model", [Passed(None, 1.0), Passed(max_norm=1.0)])
def test_rows_that_are_renormalized_stay_float(model):
    made, _ = quantize_embeddings(torch.fx.symbolic_trace(model.eval()))
    assert made.table.shape == (WORDS, WIDTH)
    assert sum("embedding" in str(n.target) for n in made.graph.nodes if n.op != "get_attr") == 3


def test_a_model_without_tables_is_returned_as_it_is():
    folded = fold(nn.Sequential(nn.Linear(4, 4)).eval(), torch.randn(2, 4))
    assert quantize_embeddings(folded) == (folded, 0)


@pytest.mark.slow
def test_onnx_runtime_quantizes_lstm_and_reports_gru_as_float(examples, tmp_path):
    described = {}
    for kind in (nn.LSTM, nn.GRU):
        folded = fold(Language(kind).eval(), examples)
        made = get_algorithm("dynamic").quantize(folded, "pt2e-u8", examples, OPTIONS)
        assert made.integer
        file = tmp_path / f"{kind.__name__}.onnx"
        get_format("onnx").export(made.graph, examples.first(), file)
        described[kind] = get_format("onnx").describe(file)
    assert described[nn.LSTM].operators["DynamicQuantizeLSTM"] == 1
    assert "LSTM" not in described[nn.LSTM].operators
    assert described[nn.GRU].computed_in_float["GRU"] == 1
    assert "LayerNormalization" in described[nn.LSTM].computed_in_float


@pytest.mark.slow
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_recurrent_layers_are_linear_layers_for_xnnpack(examples, kind):
    folded = fold(Language(kind).eval(), examples)
    made = get_algorithm("dynamic").quantize(folded, "pt2e-s8", examples, OPTIONS)
    names = [str(node.target) for node in made.graph.graph.nodes]
    assert not any("lstm" in name or "gru" in name for name in names)
    weights = [n for n in names if "dequantize_per_channel" in n]
    assert len(weights) >= 2 + LENGTH  # of the inputs, of each step, of the decoder
    with torch.no_grad():
        (ids,) = examples.first()
        assert sqnr(folded(ids), made.graph(ids)) > 30


def test_torch_formats_report_layers_that_stay_float(examples):
    folded = fold(Language(nn.LSTM).eval(), examples)
    made = torch_ao.quantize_dynamic(folded, examples, OPTIONS)
    assert made.computed_in_float == {"LayerNorm": 1}


class Sloped(nn.Sequential):
    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(
            nn.Conv2d(3, 8, 3), nn.PReLU(8), nn.Conv2d(8, 4, 3), nn.PReLU(), nn.Flatten(),
            nn.Linear(4 * 36, 5),
        )  # fmt: skip
        with torch.no_grad():
            self[1].weight.uniform_(-0.4, 0.6)


@pytest.mark.slow
@pytest.mark.parametrize("granularity", ["per-channel", "per-tensor"])
def test_prelu_computes_in_float_in_torch_formats(granularity):
    images = torch.randn(8, 3, 10, 10, generator=torch.Generator().manual_seed(1))
    folded = fold(Sloped().eval(), images)
    options = Options(granularity=granularity, output_margin=1.0)
    made = get_algorithm("static").quantize(folded, "torch-ao", images, options)
    assert made.computed_in_float["PReLU"] == 2
    torch.backends.quantized.engine = "qnnpack"
    with torch.inference_mode():
        assert sqnr(folded(images[:4]), made.graph(images[:4])) > 25
