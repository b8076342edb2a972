"""`kit cost` against the tables of the MobileNet papers.

arXiv 1704.04861 (V1) and 1801.04381 (V2). Where a printed number cannot be what the
network of Table 1 costs, the test holds both the number and the reason.
"""

from __future__ import annotations

import json

import pytest

from kit import cli, cost
from kit.cost.layers import CONV_1X1, CONV_3X3, DEPTHWISE, KINDS, LINEAR, OTHER
from kit.json_outputs import read_output
from kit.models import get_model, list_models

torch = pytest.importorskip("torch")
nn = torch.nn

MEMBERS = list_models()


def millions(value: int, digits: int = 0) -> float:
    return round(value / 1e6, digits)


@pytest.fixture(scope="module")
def v1():
    return cost.compute_cost("mobilenet_v1")


def test_v1_costs_match_table_4(v1):
    assert millions(v1.total.multiply_adds) == 569
    assert millions(v1.total.parameters, 1) == 4.2


def test_full_twin_of_v1_matches_table_4(v1):
    """Its 4866 M leave out the classifier's 1 M, which the 569 M of the other row include."""
    twin = v1.with_full_convolutions()
    convolutions = twin.by_kind()[CONV_3X3]
    assert convolutions.layers == 14
    assert millions(convolutions.multiply_adds) == 4866
    assert twin.total.multiply_adds - convolutions.multiply_adds == 1024 * 1000
    assert twin.total.multiply_adds == pytest.approx(4866e6, rel=0.0003)
    assert millions(twin.total.parameters, 1) == 29.3
    without_classifier = v1.total.multiply_adds - 1024 * 1000
    assert millions(without_classifier) == 568  # so the rows of Table 4 do differ


TABLE_2 = {  # percent of multiply-adds and of parameters
    CONV_1X1: (94.86, 74.59),
    DEPTHWISE: (3.06, 1.06),
    LINEAR: (0.18, 24.33),
}
TABLE_2_STEM = (1.19, 0.02)


def percent(v1, kind):
    own, total = v1.by_kind()[kind], v1.total
    adds = 100 * own.multiply_adds / total.multiply_adds
    return round(adds, 2), round(100 * own.parameters / total.parameters, 2)


@pytest.mark.parametrize("kind", TABLE_2)
def test_layer_types_of_v1_match_table_2(v1, kind):
    assert percent(v1, kind) == TABLE_2[kind]


def test_stem_of_v1_shows_the_misprint_of_table_2(v1):
    """The printed 1.19 % of multiply-adds are 1.91 %: only so do the four sum to 100."""
    adds, parameters = percent(v1, CONV_3X3)
    assert (adds, parameters) == (1.91, TABLE_2_STEM[1])
    assert v1.by_kind()[CONV_3X3].multiply_adds == 3 * 3 * 3 * 32 * 112 * 112
    rest = sum(row[0] for row in TABLE_2.values())
    assert rest + TABLE_2_STEM[0] == pytest.approx(99.29)
    assert rest + adds == pytest.approx(100, abs=0.02)
    assert v1.by_kind()[OTHER].layers == 0


@pytest.mark.parametrize(
    ("width", "multiply_adds", "parameters"), [(0.75, 325, 2.6), (0.5, 149, 1.3), (0.25, 41, 0.5)]
)
def test_widths_of_v1_match_table_6(width, multiply_adds, parameters):
    total = cost.compute_cost("mobilenet_v1", width=width).total
    assert millions(total.multiply_adds) == multiply_adds
    assert millions(total.parameters, 1) == parameters


@pytest.mark.parametrize(("resolution", "multiply_adds"), [(192, 418), (160, 290), (128, 186)])
def test_resolutions_of_v1_match_table_7(v1, resolution, multiply_adds):
    """To the million: at 160 pixels 290.7 M are printed as 290."""
    total = cost.compute_cost("mobilenet_v1", resolution).total
    assert total.multiply_adds == pytest.approx(multiply_adds * 1e6, abs=0.7e6)
    assert total.parameters == v1.total.parameters


def test_v2_costs_match_its_paper():
    """300 M and 3.4 M: the paper cuts the digits off, 300.8 and 3.47 would round up."""
    total = cost.compute_cost("mobilenet_v2").total
    assert int(total.multiply_adds / 1e6) == 300
    assert int(total.parameters / 1e5) / 10 == 3.4


@pytest.mark.parametrize("resolution", [32, pytest.param(224, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", MEMBERS)
def test_totals_equal_an_independent_count(name, resolution):
    """Sizes of weights and of outputs, read by forward hooks on the unfolded network."""
    result = cost.compute_cost(name, resolution)
    with torch.device("meta"):
        model = get_model(name).build(1.0, 1000)
        counted = []

        def see(module, _, output):
            pixels = output[0, 0].numel() if output.dim() == 4 else 1
            counted.append((module.weight.numel() * pixels, module.weight.numel()))

        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.register_forward_hook(see)
        with torch.inference_mode():
            model(torch.empty(1, 3, resolution, resolution))
    assert [(x.multiply_adds, x.parameters) for x in result.layers] == counted
    assert result.stored == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("resolution", [32, pytest.param(224, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", MEMBERS)
def test_every_depthwise_convolution_is_paired_with_its_1x1(name, resolution):
    """Also behind a squeeze-and-excite gate, and where a map is a single pixel."""
    result = cost.compute_cost(name, resolution, width=0.5)
    depthwise = [x for x in result.layers if x.kind == DEPTHWISE]
    mixing = [x for x in result.layers if x.mixes]
    assert [x.mixes for x in mixing] == [x.name for x in depthwise]
    assert all(x.output[1:] == y.output[1:] for x, y in zip(mixing, depthwise, strict=True))
    twin = result.with_full_convolutions()
    assert twin.by_kind()[DEPTHWISE].layers == 0
    assert len(twin.layers) == len(result.layers) - len(depthwise)


def test_twin_is_the_network_that_it_describes():
    """The twin of a separable pair against a real full convolution of the same shape."""
    pair = nn.Sequential(
        nn.Conv2d(6, 6, 5, 2, 2, groups=6), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 10, 1)
    )
    full = nn.Sequential(nn.Conv2d(6, 10, 5, 2, 2))
    twin = cost.count(pair.eval(), (6, 17, 17)).with_full_convolutions()
    assert twin.total == cost.count(full.eval(), (6, 17, 17)).total
    assert [x.name for x in twin.layers] == ["0 + 3"]
    plain = cost.count(full, (6, 17, 17))
    assert plain.with_full_convolutions().layers == plain.layers


def test_operations_outside_of_layers_are_counted_and_shared_weights_once():
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.grouped = nn.Conv2d(4, 4, 3, padding=1, groups=2)

        def forward(self, x):
            x = self.grouped(self.grouped(x)).flatten(2)
            return torch.matmul(x, x.transpose(1, 2))

    result = cost.count(Odd().eval(), (4, 5, 5))
    assert [x.kind for x in result.layers] == [OTHER] * 3
    assert [x.multiply_adds for x in result.layers] == [72 * 25, 72 * 25, 4 * 25 * 4]
    assert [x.parameters for x in result.layers] == [72, 0, 0]


class Products(nn.Module):
    def forward(self, q, k, v):
        scores = torch.matmul(q, k.transpose(-2, -1)) / q.shape[-1] ** 0.5
        return torch.matmul(scores.softmax(-1), v)


class Fused(nn.Module):
    def forward(self, q, k, v):
        return nn.functional.scaled_dot_product_attention(q, k, v)


class SelfAttention(nn.Module):
    def __init__(self, products: nn.Module) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(16, 16) for _ in range(4))
        self.products = products

    def forward(self, x):
        heads = [
            layer(x).reshape(-1, 9, 2, 8).transpose(1, 2) for layer in (self.q, self.k, self.v)
        ]
        return self.out(self.products(*heads).transpose(1, 2).reshape(-1, 9, 16))


class MultiHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x, need_weights=False)[0]


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_attention_costs_the_same_however_it_is_written(device):
    with torch.device(device):
        written = [SelfAttention(Products()), SelfAttention(Fused()), MultiHead()]
    costs = [cost.count(model.eval(), (9, 16)).total for model in written]
    products = 2 * 9 * 9 * 16
    assert [x.multiply_adds for x in costs] == [9 * 16 * 64 + products] * 3
    assert [x.parameters for x in costs] == [16 * 64] * 3
    assert torch.backends.mha.get_fastpath_enabled()


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    code = cli.run(["cost", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_command_prints_types_and_totals(capsys):
    code, out, err = run(capsys, "mobilenet_v1", "--full")
    assert code == 0
    for text in ("568,740,352", "94.86", "74.59", "4,867,293,184", "29,281,120"):
        assert text in out
    assert "8.56 times the multiply-adds, 6.96 times the parameters" in out
    assert "features.1.depthwise.0" not in out
    assert "568.7 M multiply-adds, 4.21 M parameters; 4,231,976 parameters with biases" in err
    assert "mobilenet_v1, width 1, 224 px" in out


def test_the_number_with_batchnorm_is_that_of_pytorch(capsys):
    """Weight and bias of BatchNorm are parameters; its mean and variance are buffers."""
    _, _, err = run(capsys, "mobilenet_v2")
    assert "; 3,504,872 parameters with biases and BatchNorm's weights" in err


def test_a_small_network_without_a_width_is_counted_in_whole_numbers(capsys, tmp_path):
    net = tmp_path / "net.py"
    net.write_text(
        "import torch\n\ndef build():\n    return torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3, 32),"
        " torch.nn.Flatten(), torch.nn.Linear(2, 5))\n"
    )
    code, out, err = run(capsys, f"{net}:build", "--resolution", "32")
    assert code == 0
    assert "width" not in out
    assert "64 multiply-adds, 64 parameters; 71 parameters with" in err


def test_command_lists_layers_on_request(capsys):
    _, out, _ = run(capsys, "mobilenet_v1", "--per-layer", "--full", "--width", "0.25")
    lines = {tuple(cell.strip() for cell in line.split("│")[1:4]) for line in out.splitlines()}
    assert ("features.1.depthwise.0", "depthwise conv", "8×112×112") in lines
    assert ("features.1.depthwise.0 + pointwise.0", "3x3 conv", "16×112×112") in lines


def test_json_holds_everything(capsys):
    code, out, _ = run(capsys, "mobilenet_v3_small", "--resolution", "64", "--json")
    assert code == 0
    read_output("cost", out)
    result = json.loads(out)
    assert (result["model"], result["resolution"], result["width"]) == (
        "mobilenet_v3_small",
        64,
        1.0,
    )
    for side in (result, result["full"]):
        assert [row["type"] for row in side["types"]] == list(KINDS)
        for key in ("multiply_adds", "parameters"):
            assert sum(row[key] for row in side["types"]) == side[key]
            assert sum(row[key] for row in side["layers"]) == side[key]
            assert sum(row[f"{key}_share"] for row in side["types"]) == pytest.approx(1)
    assert result["full"]["multiply_adds"] > result["multiply_adds"]
    assert result["stored_parameters"] == 2542856
    assert result["full"]["stored_parameters"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["mobilenet_v11"], 2, "did you mean mobilenet_v1"),
        (["mobilenet_v1", "--resolution", "31"], 3, "resolution = 31"),
        (["mobilenet_v1", "--resolution", "10001"], 3, "resolution = 10001"),
        (["mobilenet_v1", "--width", "0"], 3, "width = 0.0"),
        (["mobilenet_v1", "--width", "nan"], 2, "not a finite number"),
        ([], 2, "Missing argument 'MODEL'"),
    ],
)
def test_bad_input(capsys, arguments, code, words):
    result, out, err = run(capsys, *arguments)
    assert (result, out) == (code, "")
    assert words in err
    assert "hint: " in err


def test_a_model_that_needs_more_pixels_is_reported(monkeypatch):
    from dataclasses import replace

    from kit.errors import RecipeError
    from kit.models import mobilenet_v1

    family = mobilenet_v1.FAMILY
    larger = replace(family, spec=replace(family.spec, min_resolution=75))
    monkeypatch.setattr(mobilenet_v1, "FAMILY", larger)
    with pytest.raises(RecipeError, match="resolution = 64: mobilenet_v1 needs 75 or more"):
        cost.compute_cost("mobilenet_v1", 64)
