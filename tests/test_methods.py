"""What `kit build` can be told beyond static: dynamic, layers in float, gates, explanations."""

import json
import subprocess
import sys

import pytest
from picture_samples import fill

import kit
from kit import formats
from kit.errors import BuildError, RecipeError, UnknownName, VerificationFailed
from kit.formats._contract import predict
from kit.pipeline import Gate, explain
from kit.quantize._contract import Options

torch = pytest.importorskip("torch")
nn = torch.nn

SMALL = {"weights": "random", "width": 0.35, "resolution": 64, "observer": "percentile"}


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def test_explain_says_what_the_bundle_would_record():
    recipe = kit.make_recipe("mobilenet_v2", keep_float=("3",), granularity="per-tensor")
    sections = dict(explain(recipe))
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
    ("gate", "says"),
    [
        (Gate(), "without a limit"),
        (Gate(max_drop=-1.0), "max-drop = -1.0 is not 0 to 100"),
        (Gate(max_drop="much"), "max-drop = 'much' is not 0 to 100"),
        (Gate(min_agreement=101.0), "min-agreement = 101"),
        (Gate(max_drop=1.0), "needs pictures"),
    ],
)
def test_a_gate_that_cannot_be_held_is_told_before_anything_is_built(gate, says, tmp_path):
    recipe = kit.make_recipe("mobilenet_v2", **SMALL)
    with pytest.raises(RecipeError, match=says):
        kit.build(recipe, tmp_path / "never", gate=gate)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_gate_fails_the_build_or_is_recorded(tmp_path, monkeypatch):
    pictures = fill(tmp_path, *(f"pictures/{i:04d}_a.jpg" for i in range(2))) / "pictures"
    recipe = kit.make_recipe("mobilenet_v2", **SMALL, formats=("onnx",))
    gate = Gate(min_agreement=0, max_drop=100, images=str(pictures))
    made = kit.build(recipe, tmp_path / "good", gate=gate)
    record = made.manifest.gate
    assert record.images == 2
    assert [row.format for row in record.rows] == ["onnx"]
    assert json.loads((tmp_path / "good" / "bundle.json").read_text())["gate"]["max_drop"] == 100

    _give_other_answers(monkeypatch)
    gate = Gate(min_agreement=100, images=str(pictures))
    with pytest.raises(VerificationFailed, match=r"on 2 pictures:\n  onnx agrees on 0.0 %"):
        kit.build(recipe, tmp_path / "bad", gate=gate)
    assert not (tmp_path / "bad").exists()


def _give_other_answers(monkeypatch):
    """Let ONNX Runtime's answers be the float model's turned round, in this process."""
    member = formats.get("onnx")
    real = member.load

    class Other:
        def __init__(self, session):
            self.bind, self._numpy = session.bind, session.numpy

        def numpy(self, output):
            return -self._numpy(output)

    monkeypatch.setattr(member, "load", lambda path, threads: Other(real(path, threads)))


@pytest.mark.slow
def test_named_layers_stay_float_in_every_format(tmp_path):
    kept = ("features.0.0", "classifier.1")
    recipe = kit.make_recipe("mobilenet_v2", **SMALL, keep_float=kept)
    made = kit.build(recipe, tmp_path / "mixed").manifest
    assert made.kept_float == kept
    floats = {a.format: a.computed_in_float for a in made.artifacts}
    assert floats["lite"] == {"ConvReLU2d": 1, "Linear": 1}
    assert floats["executorch"] == {"xnnpack::Conv2d": 1, "xnnpack::FullyConnected": 1}
    assert {"Conv": 1, "Gemm": 1}.items() <= floats["onnx"].items()


@pytest.mark.slow
def test_a_number_keeps_the_worst_layers_float(tmp_path):
    recipe = kit.make_recipe("mobilenet_v2", **SMALL, keep_float=("2",), formats=("onnx",))
    made = kit.build(recipe, tmp_path / "worst").manifest
    assert len(made.kept_float) == 2
    floats = made.artifact("onnx").computed_in_float
    assert sum(floats.get(k, 0) for k in ("Conv", "FusedConv", "Gemm")) == 2


@pytest.mark.slow
def test_onnx_runtime_quantizes_no_layer_behind_our_back(tmp_path):
    """Between quantized layers its optimizer would give int8 weights to a float one."""
    kept = ("features.1.conv.1", "features.3.conv.1.0", "classifier.1")
    recipe = kit.make_recipe("mobilenet_v2", **SMALL, keep_float=kept, formats=("onnx",))
    floats = kit.build(recipe, tmp_path / "kept").manifest.artifact("onnx").computed_in_float
    assert {"Conv": 2, "Gemm": 1}.items() <= floats.items()


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


DYNAMIC = {
    "lite": {"quantized::linear_dynamic"},
    "executorch": {"xnnpack::Convert", "xnnpack::FullyConnected"},
    "onnx": {"DynamicQuantizeLinear", "MatMulInteger"},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DYNAMIC)
def test_dynamic_quantizes_the_linear_layer_of_every_format(name, tmp_path):
    from kit.quantize import dynamic
    from kit.quantize._graph import fold

    format_ = formats.get(name)
    model, images = head(), torch.randn(4, 3, 16, 16)
    made = dynamic.quantize(fold(model), format_.INFO.flow, images, Options("per-channel", 1.0))
    assert "from each input" in made.qconfig["activations"]
    path = tmp_path / f"model{format_.INFO.suffix}"
    format_.export(made.graph, images[:1], path)
    assert DYNAMIC[name] <= format_.describe(path).operators.keys()
    answers = predict(format_.load(path, 1), images.numpy())
    with torch.inference_mode():
        wanted = model(images)
    noise = (torch.from_numpy(answers) - wanted).square().sum()
    assert 0 < float(noise) < 1e-3 * float(wanted.square().sum())


def test_dynamic_says_that_it_would_change_nothing():
    from kit.quantize import dynamic
    from kit.quantize._graph import fold

    convolutions = nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(BuildError, match="would change nothing"):
        dynamic.quantize(
            fold(convolutions), "torch-ao", torch.randn(1, 3, 8, 8), Options("per-channel", 1.0)
        )


def test_xnnpack_has_no_dynamic_weights_per_tensor():
    from kit.quantize import dynamic
    from kit.quantize._graph import fold

    with pytest.raises(BuildError, match="scale per channel only"):
        dynamic.quantize(
            fold(head()), "pt2e-s8", torch.randn(1, 3, 16, 16), Options("per-tensor", 1.0)
        )
