"""Every cell of format x precision builds and runs, or is refused with a reason in the docs.

The tests name no precision where all are meant: one that is added, by a file or by a plug-in, is
tested.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import native_samples
import numpy as np
import pytest
import torch
from bundle_samples import answer_images
from conftest import FAST
from torch import nn

import kit
from kit import formats
from kit.artifact_key import ArtifactKey
from kit.bench.measure import measure_all
from kit.bundles.bundle import Bundle
from kit.comparison import compare_logits
from kit.errors import BuildError, RecipeError, UnknownName
from kit.formats.interface import Backend, Format
from kit.formats.onnx.integer_weights import pack_groups
from kit.formats.stored_weights import take_integer_weights
from kit.pipeline._artifact_keys import explain_refusal, find_method, needs_encodings, needs_ranges
from kit.precisions import get_precision, list_precisions, rank
from kit.precisions.interface import Precision
from kit.quantize import pt2e
from kit.quantize.graph import fold
from kit.quantize.options import Options
from kit.quantize.weight_only import GROUP, quantize_weights, round_channels, round_groups
from kit.table.plot import choose_marks

DOCS = Path(__file__).parents[1] / "docs"
EVERYWHERE = ("fp32", "fp16", "int8")  # built by test_half.py and test_formats.py


def list_targets() -> Iterator[tuple[str, Format | Backend]]:
    for name in formats.list_formats():
        format_ = formats.get_format(name)
        yield name, format_
        yield from ((f"{name}/{backend.name}", backend) for backend in format_.backends)


TARGETS = dict(list_targets())
CELLS = [
    (target, precision)
    for target, exporter in TARGETS.items()
    for precision in list_precisions()
    if precision in exporter.precisions
]
BUILT = [
    (target, precision)
    for target, precision in CELLS
    if precision not in EVERYWHERE and "/" not in target
]
REFUSED = [
    (target, precision)
    for target in TARGETS
    for precision in list_precisions()
    if (target, precision) not in CELLS
]


def make_net() -> nn.Module:
    """A convolution, a depthwise one, and linear layers, one of which groups do not divide."""
    torch.manual_seed(1)
    layers = [nn.Conv2d(3, 32, 3, 2), nn.ReLU6(), nn.Conv2d(32, 32, 3, groups=32), nn.ReLU6()]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 40), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(40, 7)).eval()


@pytest.mark.parametrize("name", list_precisions())
def test_a_precision_matches_its_registry_entry(name):
    precision = get_precision(name)
    assert isinstance(precision, Precision)
    assert precision.name == name
    assert ArtifactKey("onnx", name).quantized == (name not in ("fp32", "fp16"))
    for text in (precision.summary, precision.refusal):
        assert text
        assert not text.endswith(".")
    assert any(name in exporter.precisions for exporter in TARGETS.values())
    answers = np.eye(3)  # a file that answers as the float model does is not broken
    assert compare_logits("float reference", answers, answers, asdict(precision.limits)).passed


@pytest.mark.parametrize("target", TARGETS)
def test_a_format_names_precisions_that_exist_and_refuses_others(target):
    exporter = TARGETS[target]
    assert set(exporter.precisions) <= set(list_precisions())
    assert set(exporter.refusals) <= set(list_precisions()) - set(exporter.precisions)


@pytest.mark.parametrize(("target", "precision"), REFUSED)
def test_unsupported_precisions_are_refused_with_the_documented_reason(target, precision, tmp_path):
    recipe = kit.make_recipe("mobilenet_v2", formats=(target,), precisions=(precision,))
    with pytest.raises(RecipeError) as caught:
        kit.build(recipe, tmp_path / "b")
    reason = explain_refusal(TARGETS[target], precision)
    assert caught.value.message == f"{target} has no {precision} files: {reason}"
    assert reason in (DOCS / "precisions.md").read_text("utf-8")


def test_the_documented_table_of_precisions_is_current():
    text = (DOCS / "precisions.md").read_text("utf-8")
    head = re.search(r"^\| format \| (.+) \|$", text, re.MULTILINE)
    assert head is not None
    assert head[1].split(" | ") == [f"`{name}`" for name in list_precisions()]
    for target, exporter in TARGETS.items():
        cells = ("yes" if name in exporter.precisions else "" for name in list_precisions())
        assert f"| `{target}` | {' | '.join(cells)} |".replace("  ", " ") in text.replace("  ", " ")


@pytest.fixture(scope="module")
def built(lowered_here, tmp_path_factory) -> dict[str, Bundle]:
    """Return a bundle of each format with the precisions that some formats lack."""
    bundles = {}
    for target in dict.fromkeys(target for target, _ in BUILT):
        try:
            for package in TARGETS[target].packages:
                version(package)
        except PackageNotFoundError:
            continue
        recipe = kit.make_recipe(
            f"{__file__}:make_net",
            resolution=32,
            formats=(target,),
            precisions=tuple(precision for name, precision in BUILT if name == target),
        )
        folder = tmp_path_factory.mktemp("precisions") / target
        bundles[target] = kit.build(recipe, folder, use_cache=False)
    return bundles


@pytest.mark.slow
@pytest.mark.parametrize(("target", "precision"), BUILT)
def test_supported_precisions_compute_what_their_graph_does(target, precision, built):
    if target not in built:
        pytest.skip(f"a package of {target} is not installed")
    bundle = built[target]
    assert [failed.name for failed in bundle.manifest.failed] == []
    artifact = bundle.manifest.artifact(f"{target}-{precision}")
    described = formats.get_format(target).describe(bundle.file(artifact.name))
    assert described.operators == artifact.operators
    (to_float,) = (one for one in artifact.parity if one.against == "float reference")
    assert to_float.sqnr_db is not None  # something is rounded
    assert to_float.sqnr_db > 20
    if not artifact.executed:
        return
    (to_graph,) = (one for one in artifact.parity if one.against == "quantized graph")
    assert to_graph.sqnr_db is None or to_graph.sqnr_db > to_float.sqnr_db - 3
    inputs = np.load(bundle.path / "golden" / "input.npy")
    session = formats.get_format(target).load(bundle.file(artifact.name), 1)
    golden = np.load(bundle.path / "golden" / f"{artifact.name}.npy")
    np.testing.assert_allclose(answer_images(session, inputs), golden, atol=1e-5)


@pytest.mark.slow
def test_weights_take_a_fraction_of_the_space(built):
    """The linear layer's 1280 weights in int4 take 640 bytes and scales; all 2.6 kB in int8."""
    sizes = {
        name: built["onnx"].file(f"onnx-{name}").stat().st_size
        for name in ("int8-weights", "int16-activations", "int4-weights")
    }
    bits = {one.name: one.operators for one in built["onnx"].manifest.artifacts}
    assert bits["onnx-int4-weights"]["MatMulNBits"] == 1  # the other has 40 inputs
    assert bits["onnx-int8-weights"]["Cast"] == 4
    assert sizes["int8-weights"] < sizes["int16-activations"]


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnx", "litert", "executorch"])
def test_native_runners_compute_the_same(target, built):
    if target not in built:
        pytest.skip(f"a package of {target} is not installed")
    native_samples.runner(target)  # built, or skipped
    once = FAST.model_copy(update={"repeats": 1, "memory": False})
    (result,) = measure_all([built[target]], [target], once, runner="native")
    assert [run.via for run in result.runs] == ["native"] * len(result.runs)
    assert {run.precision for run in result.runs} == {p for name, p in BUILT if name == target}


def test_channels_are_rounded_to_their_nearest_level():
    weight = torch.tensor([[0.1, -12.7], [1.27, 0.004]])
    stored = round_channels(weight, 0, per_channel=True)
    torch.testing.assert_close(stored.scales, torch.tensor([0.1, 0.01]))
    assert stored.values.tolist() == [[1, -127], [127, 0]]
    columns = round_channels(weight, 1, per_channel=True)
    torch.testing.assert_close(columns.scales, torch.tensor([0.01, 0.1]))
    whole = round_channels(weight, 0, per_channel=False)
    assert whole.values.tolist() == [[1, -127], [13, 0]]


def test_group_scales_fit_half_precision_and_reduce_the_error():
    torch.manual_seed(0)
    weight = torch.randn(3, 2 * GROUP)
    stored = round_groups(weight)
    assert stored.scales.shape == (3, 2)
    assert torch.equal(stored.scales, stored.scales.to(torch.bfloat16).float())
    assert torch.equal(stored.scales, stored.scales.half().float())
    assert int(stored.values.abs().max()) <= 7
    groups = weight.reshape(3, 2, GROUP)
    widest = groups.abs().amax(-1, keepdim=True) / 7
    plain = ((groups / widest).round() * widest - groups).square().sum()
    ours = stored.values.reshape(3, 2, GROUP) * stored.scales[..., None] - groups
    assert ours.square().sum() < plain


def test_zero_weights_stay_zero():
    assert round_groups(torch.zeros(1, GROUP)).values.any().item() is False
    assert round_channels(torch.zeros(1, 4), 0, per_channel=True).values.any().item() is False


def test_int4_values_are_packed_low_nibble_first():
    values = np.array([[-8, 7, 0, 1]], np.int8)
    assert pack_groups(values, 1).tolist() == [[[0xF0, 0x98]]]


def quantize(bits: int, **changes: object):
    options = Options("per-channel", 1.0, weight_bits=bits, **changes)
    images = (torch.rand(1, 3, 32, 32),)
    return quantize_weights(fold(make_net()), images, options, computes_in_int8=False)


def test_float_layers_keep_their_weights():
    names = [one.name for one in take_integer_weights(quantize(8))]
    fewer = [one.name for one in take_integer_weights(quantize(8, keep_float=("0", "6")))]
    assert len(names) == 4
    assert len(fewer) == 2


@pytest.mark.parametrize("kept", ["first", "tied"])
def test_a_layer_stays_float_whose_weight_another_shares(kept):
    """Regression: a shared weight has the name of one layer, so the other was quantized."""
    model = nn.Sequential()
    model.add_module("first", nn.Linear(32, 32))
    model.add_module("tied", nn.Linear(32, 32))
    model.tied.weight = model.first.weight
    options = Options("per-channel", 1.0, weight_bits=8, keep_float=(kept,))
    example = (torch.rand(1, 32),)
    graph = quantize_weights(fold(model), example, options, computes_in_int8=False)
    layers = [one for one in graph.graph.nodes if "linear" in str(one.target)]
    in_float = [one.args[1].op == "get_attr" for one in layers]
    assert in_float == [kept == "first", kept == "tied"]
    assert not any("custom" in one.meta for one in graph.graph.nodes)


def test_taking_integer_weights_keeps_the_answers():
    graph = quantize(4)
    image = torch.rand(1, 3, 32, 32)
    before = graph(image)
    (weight,) = take_integer_weights(graph)
    assert torch.equal(graph(image), before)
    assert weight.bits == 4
    assert not any("dequantize" in str(node.target) for node in graph.graph.nodes)


def test_a_network_without_such_layers_is_refused():
    images = (torch.rand(1, 3, 8, 8),)
    options = Options("per-channel", 1.0, weight_bits=4)
    with pytest.raises(BuildError, match="no linear layer whose inputs are a multiple of 32"):
        quantize_weights(fold(nn.Conv2d(3, 4, 1)), images, options, computes_in_int8=False)


@pytest.mark.parametrize("flow", ["pt2e-s8", "pt2e-u8"])
def test_int16_activations_err_less_than_int8(flow):
    torch.manual_seed(0)
    model, images = torch.fx.symbolic_trace(make_net()), torch.rand(8, 3, 32, 32)
    exact = model(images)
    errors = []
    for bits in (8, 16):
        options = Options("per-channel", 1.0, "minmax", activation_bits=bits)
        graph = pt2e.quantize_static(model, images, options, flow).graph
        with torch.no_grad():
            answers = torch.cat([graph(image[None]) for image in images])
        errors.append(float((answers - exact).detach().square().sum()))
    assert errors[1] < errors[0] / 2


@pytest.mark.slow
def test_int16_activations_alone_record_no_8_bit_encodings(lowered_here, tmp_path):
    """Their ranges are twice the minimum and maximum, so that no encoding or search is theirs."""
    recipe = kit.make_recipe(
        f"{__file__}:make_net",
        resolution=32,
        formats=("onnx",),
        precisions=("int16-activations",),
    )
    manifest = kit.build(recipe, tmp_path / "made", use_cache=False).manifest
    assert (manifest.encodings, manifest.ranges) == (None, ())
    assert "calibration.thin" not in {one.code for one in manifest.notices}
    assert not any(title == "activation ranges" for title, _ in kit.pipeline.explain(recipe))


def test_an_unsupported_method_is_refused(tmp_path):
    for precision, method in (("int16-activations", "dynamic"), ("int8", "none")):
        recipe = kit.make_recipe(
            "mobilenet_v2", formats=("onnx",), precisions=(precision,), quantize=method
        )
        with pytest.raises(RecipeError, match=f"precisions has {precision}") as caught:
            kit.build(recipe, tmp_path / "b")
        assert caught.value.hint == "use --quantize static"


@pytest.mark.parametrize(
    ("precisions", "method", "prepares", "ranges", "encodings"),
    [
        (("fp16", "int8-dynamic", "int4-weights"), "static", "none", False, False),
        (("int8-weights",), "static", "static", False, False),
        (("int8-weights",), "weights", "weights", False, False),
        (("fp32", "int16-activations"), "static", "static", True, False),
        (("int8", "int16-activations"), "static", "static", True, True),
        (None, "weights", "weights", False, False),
    ],
)
def test_pictures_are_read_only_if_a_file_needs_them(
    precisions, method, prepares, ranges, encodings
):
    recipe = kit.make_recipe(
        "mobilenet_v2", formats=("onnx",), precisions=precisions, quantize=method
    )
    assert find_method(recipe).name == prepares
    assert needs_ranges(recipe) is ranges
    assert needs_encodings(recipe) is encodings


@pytest.mark.parametrize(
    ("word", "name"), [("w8a16", "int16-activations"), ("q4", "int4-weights"), ("half", "fp16")]
)
def test_words_of_other_tools_suggest_a_precision(word, name):
    with pytest.raises(UnknownName) as caught:
        kit.make_recipe("mobilenet_v2", precisions=(word,))
    assert name in caught.value.hint


def test_tables_order_and_mark_all_precisions_and_unknown_ones():
    names = list_precisions()
    assert names[0] == "fp32"
    assert names[-1] == "int4-weights"
    marks = choose_marks(names)
    assert len(set(marks.values())) == len(names)
    assert marks["int8"] == "o"
    assert choose_marks(["int8"]) == {"int8": "o"}
    assert sorted([*names, "int2-far"], key=rank)[-1] == "int2-far"
    assert "int2-far" in choose_marks(["int2-far", "int8"])
