"""Options of `kit build` beyond static: dynamic, layers in float, gates, explanations."""

import json
import subprocess
import sys
from contextlib import nullcontext

import pytest
from bundle_samples import SMALL_NET, answer_images
from picture_samples import encode, fill, noise

import kit
from kit import encodings, formats
from kit.encodings import Encoding, Encodings
from kit.errors import (
    BuildError,
    KitError,
    PictureError,
    RecipeError,
    UnknownName,
    VerificationFailed,
    WeightsError,
)
from kit.formats.isolated import IsolatedSession
from kit.notices import render
from kit.pipeline import Gate, explain, load_float_model
from kit.quantize.options import Options
from kit.signature import Samples

torch = pytest.importorskip("torch")
nn = torch.nn

SMALL = {"weights": "random", "width": 0.35, "resolution": 64, "observer": "percentile"}


@pytest.fixture(scope="module", autouse=True)
def own_cache(lowered_here, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def test_explain_prints_what_the_manifest_would_record():
    recipe = kit.make_recipe("mobilenet_v2", keep_float=("3",), granularity="per-tensor")
    sections = dict(explain(recipe))
    assert sections["model"][1] == (
        "pictures: shorter side to 256 px, centre crop 224 x 224, ImageNet mean and std"
    )
    assert sections["calibration"] == ["32 pictures: crops of three sample photos"]
    (steps,) = [lines for heading, lines in sections.items() if "corrections" in heading]
    assert [line.split(":")[0] for line in steps] == ["equalize", "rounding"]
    assert sections["kept in float"] == ["the 3 layers that int8 hurts most, one at a time"]
    (lite,) = [v for k, v in sections.items() if k.startswith("lite")]
    assert "engine: qnnpack" in lite
    assert "weights: qint8 per-tensor symmetric, MinMaxObserver" in lite


def test_explain_on_the_command_line_builds_nothing(tmp_path):
    command = [sys.executable, "-m", "kit", "build", "mobilenet_v2", "--explain", "-o", "x"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "quantizer: XNNPACKQuantizer" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"observer": "foo"}, UnknownName, "no observer called 'foo'"),
        ({"corrections": "foo", "quantize": "none"}, UnknownName, "no correction called 'foo'"),
        (
            {"keep_float": ("classifier.1",), "quantize": "dynamic"},
            RecipeError,
            "keep_float = 'classifier.1' does nothing with dynamic",
        ),
        ({"keep_float": ("3",), "quantize": "none"}, RecipeError, "keep_float = '3' does nothing"),
        ({"train": "set.zip"}, RecipeError, "train = 'set.zip' does nothing with static"),
        ({"train_steps": 9}, RecipeError, "train_steps = 9 does nothing with static"),
        ({"observer": "minmax", "quantize": "dynamic"}, RecipeError, "does nothing with dynamic"),
        (
            {"corrections": "bias", "quantize": "weights", "formats": ("onnx",)},
            RecipeError,
            "corrections = 'bias' does nothing with weights",
        ),
        (
            {"corrections": "none", "precisions": ("fp32", "fp16"), "formats": ("onnx",)},
            RecipeError,
            "corrections = 'none' does nothing with fp32, fp16",
        ),
        (
            {"observer": "minmax", "encodings": "given.json"},
            RecipeError,
            "observer = 'minmax' does nothing with the encodings of given.json",
        ),
    ],
)
def test_options_without_effect_are_refused(fields, error, message, tmp_path):
    recipe = kit.make_recipe("mobilenet_v2", **fields)
    with pytest.raises(error, match=message):
        list(explain(recipe))
    with pytest.raises(error, match=message):
        kit.build(recipe, tmp_path / "never")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("method", "steps", "keeps"),
    [
        ("none", set(), False),
        ("dynamic", set(), False),
        ("weights", set(), True),
        ("static", {"calibration", "activation ranges"}, True),
        ("qat", {"calibration", "activation ranges", "training"}, True),
    ],
)
def test_a_method_has_the_steps_that_it_needs(method, steps, keeps):
    fields = {"quantize": method, "formats": ("onnx",)}
    recipe = kit.make_recipe("mobilenet_v2", **fields)
    optional = {"calibration", "activation ranges", "training"}
    assert optional & dict(explain(recipe)).keys() == steps
    kept = kit.make_recipe("mobilenet_v2", **fields, keep_float=("classifier.1",))
    with nullcontext() if keeps else pytest.raises(RecipeError, match="does nothing"):
        assert dict(explain(kept))["kept in float"] == ["classifier.1"]


@pytest.mark.parametrize("text", ["²", "1" * 5000])
def test_digits_that_int_rejects_are_layer_names(text):
    """`"²".isdigit()` is true, and `int` accepts at most 4300 digits."""
    recipe = kit.make_recipe("mobilenet_v2", keep_float=(text,))
    assert recipe.keep_worst is None
    assert dict(explain(recipe))["kept in float"] == [text]


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        (Gate(), "without a limit"),
        (Gate(max_drop=-1.0), "max-drop = -1.0 is not 0 to 100"),
        (Gate(max_drop="much"), "max-drop = 'much' is not 0 to 100"),
        (Gate(min_agreement=101.0), "min-agreement = 101"),
        (Gate(max_drop=1.0), "needs pictures"),
        (Gate(max_drop=1.0, images=5), "gate-images = 5 is no folder or zip"),
    ],
)
def test_invalid_gates_are_refused_before_the_build(gate, message, tmp_path):
    recipe = kit.make_recipe("mobilenet_v2", **SMALL)
    with pytest.raises(RecipeError, match=message):
        kit.build(recipe, tmp_path / "never", gate=gate)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("names", "gate", "error", "message"),
    [
        ((), {"min_agreement": 90}, PictureError, "there is no folder or zip"),
        (("a.png", "b.png"), {"max_drop": 1}, RecipeError, "has no labels, so there is no top-1"),
        (("1/a.png", "cat/b.png"), {"max_drop": 1}, PictureError, "has no label: 'cat/b.png'"),
        (("1000/a.png",), {"max_drop": 1}, PictureError, "has the label 1000"),
    ],
)
def test_gate_pictures_are_checked_before_the_build(names, gate, error, message, tmp_path):
    recipe = kit.make_recipe("mobilenet_v2", **SMALL)
    pictures = fill(tmp_path / "set", *names) if names else tmp_path / "set"
    limits = Gate(**gate, images=str(pictures))
    stages = []
    with pytest.raises(error, match=message):
        kit.build(recipe, tmp_path.parent / "never", stages.append, gate=limits)
    assert stages == ["reading the inputs"]
    with pytest.raises(error, match=message):
        list(explain(recipe, limits))


def test_a_gate_without_a_drop_limit_needs_no_labels(tmp_path):
    pictures = fill(tmp_path, "1/a.png", "cat/b.png", "1000/c.png")
    limits = Gate(min_agreement=90, images=str(pictures))
    output = dict(explain(kit.make_recipe("mobilenet_v2", **SMALL), limits))["checks"][-1]
    assert output == f"at least 90 % of the float model's answers on 3 pictures of {pictures}"


def test_a_gate_excludes_calibration_pictures(tmp_path):
    """Checked before the build: the draw depends only on names and seed."""
    for i in range(5):
        fill(tmp_path, f"{i}.png", data=encode(noise(20 + i, 20)))
    recipe = kit.make_recipe("mobilenet_v2", **SMALL, calibrate=str(tmp_path), calibration_images=3)
    assert "on 2 pictures of" in dict(explain(recipe, Gate(min_agreement=1)))["checks"][-1]
    recipe = recipe.model_copy(update={"calibration_images": 5})
    with pytest.raises(PictureError, match="every picture of"):
        list(explain(recipe, Gate(min_agreement=1)))


@pytest.fixture(scope="module")
def worst(tmp_path_factory):
    """A recipe with layers in float, in the cache, and its bundle."""
    recipe = kit.make_recipe(
        SMALL_NET, resolution=32, observer="percentile", keep_float=("2",), formats=("onnx",)
    )
    return recipe, kit.build(recipe, tmp_path_factory.mktemp("worst") / "bundle")


@pytest.mark.slow
def test_a_gate_fails_the_build_or_is_recorded(worst, tmp_path, monkeypatch):
    pictures = fill(tmp_path, *(f"pictures/{i:04d}_a.jpg" for i in range(2))) / "pictures"
    recipe, _ = worst
    gate = Gate(min_agreement=0, max_drop=100, images=str(pictures))
    stages = []
    made = kit.build(recipe, tmp_path / "good", stages.append, gate=gate)
    assert stages[-1].startswith("measuring accuracy for the gate on 2 pictures")
    record = made.manifest.gate
    assert record.images == 2
    assert [row.format for row in record.rows] == ["onnx"]
    assert json.loads((tmp_path / "good" / "bundle.json").read_text())["gate"]["max_drop"] == 100

    _give_other_answers(monkeypatch)
    gate = Gate(min_agreement=100, images=str(pictures))
    with pytest.raises(
        VerificationFailed, match=r"on 2 pictures:\n  onnx-int8 agrees on 0.0 %"
    ) as caught:
        kit.build(recipe, tmp_path / "bad", gate=gate)
    assert [(row["name"], row["agreement"]) for row in caught.value.rows] == [("onnx-int8", 0.0)]
    assert not (tmp_path / "bad").exists()


def _give_other_answers(monkeypatch):
    """Negate the answers of ONNX Runtime in an evaluation."""
    real = IsolatedSession.predict

    def negated(session, samples):
        answers, ns = real(session, samples)
        if session.name == "onnx-int8":
            answers = Samples(answers.specs, tuple(-array for array in answers.arrays))
        return answers, ns

    monkeypatch.setattr(IsolatedSession, "predict", negated)


def test_unknown_layers_and_tensors_fail_early(tmp_path):
    small = {"resolution": 32, "formats": ("onnx",)}
    file = tmp_path / "encodings.json"
    strange = Encoding(name="elsewhere", scales=(0.1,), offsets=(0,))
    file.write_text(encodings.format_file(Encodings(activations=(strange,), weights=()), "0.1"))
    for fields, message in (
        ({"keep_float": ("elsewhere",)}, "called 'elsewhere'"),
        ({"keep_float": ("4",)}, "keep_float = 4 leaves none of the model's 4 layers in int8"),
        ({"encodings": str(file)}, "'elsewhere'"),
    ):
        stages: list[str] = []
        with pytest.raises(KitError, match=message):
            kit.build(kit.make_recipe(SMALL_NET, **small, **fields), tmp_path / "a", stages.append)
        assert not [stage for stage in stages if stage.startswith(("choosing", "correction"))]


@pytest.mark.slow
def test_named_layers_stay_float_in_every_format(tmp_path):
    kept = ("0", "9")
    recipe = kit.make_recipe(SMALL_NET, resolution=32, observer="percentile", keep_float=kept)
    made = kit.build(recipe, tmp_path / "mixed").manifest
    assert made.kept_float == kept
    floats = {a.format: a.computed_in_float for a in made.artifacts}
    assert floats["lite"] == {"ConvReLU2d": 1, "Linear": 1}
    assert floats["executorch"] == {"xnnpack::Conv2d": 1, "xnnpack::FullyConnected": 1}
    assert {"Conv": 1, "Gemm": 1}.items() <= floats["onnx"].items()


@pytest.mark.slow
def test_files_of_a_method_that_keeps_no_layer_are_named(tmp_path):
    """Regression: dynamic quantization took the layer without a word."""
    fields = {"formats": ("lite",), "precisions": ("fp32", "int8", "int8-dynamic")}
    recipe = kit.make_recipe(SMALL_NET, resolution=32, keep_float=("1",), **fields)
    manifest = kit.build(recipe, tmp_path / "made", use_cache=False).manifest
    (notice,) = [one for one in manifest.notices if one.code == "float.disregarded"]
    (kept,) = manifest.kept_float  # the layer that int8 hurts most
    expected = f"lite-int8-dynamic: what is to stay in float ({kept}) does not apply"
    assert render(notice).startswith(expected)


@pytest.mark.slow
def test_a_number_keeps_the_worst_layers_float(worst):
    made = worst[1].manifest
    assert len(made.kept_float) == 2
    floats = made.artifact("onnx").computed_in_float
    assert sum(floats.get(k, 0) for k in ("Conv", "FusedConv", "Gemm")) == 2


@pytest.mark.slow
def test_onnx_runtime_keeps_float_layers_float(tmp_path):
    """Between quantized layers its optimizer would give int8 weights to a float one."""
    net = SMALL_NET.replace(":make", ":make_separable")
    small = {"resolution": 32, "observer": "percentile", "formats": ("onnx",)}
    recipe = kit.make_recipe(net, **small, keep_float=("2", "6", "11"))
    floats = kit.build(recipe, tmp_path / "kept").manifest.artifact("onnx").computed_in_float
    assert {"Conv": 2, "Gemm": 1}.items() <= floats.items()


@pytest.mark.slow
def test_corrections_treat_float_layers_as_unrounded():
    """Their weights are not rounded; a number of layers gives the same model as their names."""
    tiny = {**SMALL, "resolution": 32, "calibration_images": 4}
    result = load_float_model(kit.make_recipe("mobilenet_v2", **tiny))
    kept = "classifier.1"
    scaled, _ = result.prepared("equalize", (kept,))
    made, names = result.prepared(keep_float=(kept,))
    rounded, _ = result.prepared(keep_float=())
    assert names == (kept,)
    weight = f"{kept}.weight"
    assert torch.equal(made.state_dict()[weight], scaled.state_dict()[weight])
    assert not torch.equal(rounded.state_dict()[weight], scaled.state_dict()[weight])
    by_number, names = result.prepared(keep_float=("2",))
    by_name, _ = result.prepared(keep_float=names)
    assert len(names) == 2
    other = by_name.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in by_number.state_dict().items())


def test_analysis_of_a_model_without_published_weights_is_refused():
    with pytest.raises(WeightsError, match="no published weights"):
        load_float_model(kit.make_recipe("mobilenet_v1"))


def test_a_layer_that_does_not_exist_is_named_with_near_matches(tmp_path):
    recipe = kit.make_recipe("mobilenet_v2", **SMALL, keep_float=("feature.0.0",))
    with pytest.raises(UnknownName, match=r"called 'feature.0.0'") as caught:
        kit.build(recipe, tmp_path / "never")
    assert "features.0.0" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def head() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)
    ).eval()


@pytest.mark.slow
def test_batch_norm_patterns_match_nothing_in_a_folded_graph(monkeypatch):
    """So omitting them changes nothing; they are matched if a BatchNorm remains."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer

    from kit.quantize import pt2e, xnnpack_quantizer
    from kit.quantize.graph import fold

    model, images = fold(head()), torch.randn(4, 3, 16, 16)
    options = Options("per-channel", 1.0)
    quick = pt2e.quantize_static(model, images, options, "pt2e-s8").graph
    quantizer = XNNPACKQuantizer()
    kept = torch.fx.symbolic_trace(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval())
    program = torch.export.export(kept, (images[:1],)).module()
    xnnpack_quantizer.leave_out_batch_norm(quantizer, program)
    assert quantizer.SUPPORTED_PATTERNS == XNNPACKQuantizer.SUPPORTED_PATTERNS

    calls = []
    monkeypatch.setattr(
        xnnpack_quantizer, "leave_out_batch_norm", lambda *words: calls.append(words)
    )
    stock = pt2e.quantize_static(model, images, options, "pt2e-s8").graph
    assert len(calls) == 1
    assert quick.code == stock.code
    states = quick.state_dict(), stock.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


DYNAMIC = {
    "lite": {"quantized::linear_dynamic"},
    "executorch": {"xnnpack::Convert", "xnnpack::FullyConnected"},
    "onnx": {"DynamicQuantizeLinear", "MatMulInteger"},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DYNAMIC)
def test_dynamic_quantizes_the_linear_layer_of_every_format(name, tmp_path):
    from kit.algorithms import dynamic
    from kit.quantize.graph import fold

    format_ = formats.get_format(name)
    model, images = head(), torch.randn(4, 3, 16, 16)
    made = dynamic.quantize(fold(model), format_.flow, images, Options("per-channel", 1.0))
    assert "from each input" in made.qconfig["activations"]
    path = tmp_path / f"model{format_.suffix}"
    format_.export(made.graph, (images[:1],), path)
    assert DYNAMIC[name] <= format_.describe(path).operators.keys()
    answers = answer_images(format_.load(path, 1), images.numpy())
    with torch.inference_mode():
        expected = model(images)
    noise = (torch.from_numpy(answers) - expected).square().sum()
    assert 0 < float(noise) < 1e-3 * float(expected.square().sum())


def test_dynamic_refuses_a_model_without_linear_layers():
    from kit.algorithms import dynamic
    from kit.quantize.graph import fold

    convolutions = nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(BuildError, match="would change nothing"):
        dynamic.quantize(
            fold(convolutions), "torch-ao", torch.randn(1, 3, 8, 8), Options("per-channel", 1.0)
        )


@pytest.mark.slow
def test_xnnpack_has_no_dynamic_weights_per_tensor():
    from kit.algorithms import dynamic
    from kit.quantize.graph import fold

    with pytest.raises(BuildError, match="scale per channel only"):
        dynamic.quantize(
            fold(head()), "pt2e-s8", torch.randn(1, 3, 16, 16), Options("per-tensor", 1.0)
        )
