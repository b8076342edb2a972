"""Files in float16, with float32 at their inputs and outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from bundle_samples import SMALL_NET
from conftest import FAST

import kit
from kit import formats
from kit.bench import measure
from kit.errors import BuildError, RecipeError
from kit.pipeline import explain
from kit.quantize.half import cast_to_half
from kit.quantize.options import Options
from kit.quantize.weight_only import quantize_weights
from kit.signature import TensorSpec

FORMATS = [n for n in formats.list_formats() if "fp16" in formats.get_format(n).precisions]


class Gather(torch.nn.Module):
    """Takes floats and indices, gives two tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 4)

    def forward(self, x: torch.Tensor, index: torch.Tensor) -> tuple[torch.Tensor, ...]:
        hidden = self.linear(x)
        return hidden, hidden[:, index], (index.float() * hidden[:, index]).argmax(1)


def test_arithmetic_is_half_and_the_signature_stays():
    model = torch.fx.symbolic_trace(Gather()).eval()
    specs = (
        TensorSpec(name="x", dtype="float32", shape=(1, 4)),
        TensorSpec(name="index", dtype="int64", shape=(2,)),
    )
    answers = (
        *(TensorSpec(name=name, dtype="float32", shape=(1, 4)) for name in "ab"),
        TensorSpec(name="largest", dtype="int64", shape=(1,)),
    )
    half = cast_to_half(model, specs, answers)
    x, index = torch.rand(1, 4), torch.tensor([1, 3])
    with torch.inference_mode():
        outputs, exact = half(x, index), model(x, index)
        by_hand = torch.nn.functional.linear(
            x.half(), model.linear.weight.half(), model.linear.bias.half()
        )
    assert half.linear.weight.dtype == torch.float16
    assert model.linear.weight.dtype == torch.float32
    assert [output.dtype for output in outputs] == [torch.float32, torch.float32, torch.int64]
    assert torch.equal(outputs[0], by_hand.float())
    assert torch.equal(outputs[1], by_hand.float()[:, index])
    assert not torch.equal(outputs[0], exact[0])
    torch.testing.assert_close(outputs[0], exact[0], atol=2e-3, rtol=0)


@pytest.fixture(scope="module")
def built(lowered_here, tmp_path_factory):
    """Return a bundle with float32 and float16 files, whose float weights are uncorrected."""
    recipe = kit.make_recipe(
        SMALL_NET, resolution=32, formats=FORMATS, precisions=("fp32", "fp16"), quantize="none"
    )
    return kit.build(recipe, tmp_path_factory.mktemp("half") / "b", use_cache=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_a_file_in_half_precision_takes_half_the_space_and_answers_nearly_the_same(name, built):
    fp16 = built.manifest.artifact(f"{name}-fp16")
    assert fp16.file.startswith("model-fp16.")
    assert fp16.quantize == "none"
    assert built.manifest.qconfig[fp16.name]["weights"] == "float16"
    (to_float,) = [one for one in fp16.parity if one.against == "float reference"]
    assert to_float.sqnr_db is not None  # not the float32 file under another name
    assert 45 < to_float.sqnr_db < 100
    outputs = built.manifest.golden.outputs
    answers = built.read_answers(outputs[fp16.name]).arrays[0]
    assert answers.dtype == np.float32


@pytest.mark.slow
def test_it_is_measured_beside_the_float32_file(built):
    result = measure.measure(built, ["onnx"], FAST)
    assert [run.name for run in result.runs] == ["onnx-fp32", "onnx-fp16"]
    assert all(run.golden_max_abs == 0 for run in result.runs)


class Scaled(torch.nn.Module):
    """A scale behind a layer, whose product with the layer's weights exceeds float16."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(4, 3, bias=False)
        self.register_buffer("scale", torch.full((3,), 1e3))
        with torch.no_grad():
            self.layer.weight.copy_(torch.full((3, 4), 100.0) + torch.randn(3, 4))

    def forward(self, x):
        return self.layer(x) * self.scale


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_constants_that_a_converter_multiplies_stay_finite(name, tmp_path):
    exporter = formats.get_format(name)
    if not exporter.runs_here:
        pytest.skip(f"{name} is not run here")
    spec = TensorSpec(name="x", dtype="float32", shape=(1, 4))
    answer = TensorSpec(name="y", dtype="float32", shape=(1, 3))
    half = cast_to_half(torch.fx.symbolic_trace(Scaled().eval()), (spec,), (answer,))
    example = torch.full((1, 4), 1e-2)
    path = tmp_path / f"half{exporter.suffix}"
    exporter.export(half, (example,), path)
    session = exporter.load(path, 1)
    (value,) = session.read(session.bind((example.numpy(),))())
    with torch.no_grad():
        np.testing.assert_allclose(value, half(example).numpy(), rtol=1e-2)


@pytest.mark.slow
def test_scales_of_int4_weights_beyond_half_precision_are_refused(tmp_path):
    pytest.importorskip("litert_torch")
    example = torch.rand(1, 32)
    model = torch.nn.Sequential(torch.nn.Linear(32, 4)).eval()
    with torch.no_grad():
        model[0].weight.mul_(1e7)
    options = Options("per-channel", 1.0, weight_bits=4)
    traced = torch.fx.symbolic_trace(model)
    graph = quantize_weights(traced, (example,), options, computes_in_int8=False)
    with pytest.raises(
        BuildError, match=r"needs scales up to .* in float16, up to 65504"
    ) as caught:
        formats.get_format("litert").export(graph, (example,), tmp_path / "int4.tflite")
    assert "--keep-float" in caught.value.hint


def test_explain_says_what_is_half():
    recipe = kit.make_recipe("mobilenet_v2", formats=("onnx",), precisions=("fp16", "int8"))
    sections = {heading.partition(":")[0]: lines for heading, lines in explain(recipe)}
    assert any("float16" in line for line in sections["onnx-fp16"])
    assert not any("float16" in line for line in sections["onnx-int8"])


def overflowing() -> torch.nn.Module:
    """Answers below 1, with values of 1e6 between its layers."""
    net = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 8), torch.nn.Linear(8, 4)
    )
    with torch.no_grad():
        net[1].weight.mul_(1e6)
        net[2].weight.mul_(1e-6)
    return net.eval()


@pytest.mark.slow
def test_only_the_file_that_overflows_fails_with_the_reason(lowered_here, tmp_path):
    """Otherwise the error would blame the float model, and no file would be built."""
    (tmp_path / "net.py").write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_half import overflowing\n"
    )
    recipe = kit.make_recipe(
        f"{tmp_path / 'net.py'}:overflowing",
        resolution=32,
        formats=("onnx",),
        precisions=("fp32", "fp16"),
        quantize="none",
    )
    built = kit.build(recipe, tmp_path / "b", use_cache=False)
    assert [artifact.name for artifact in built.manifest.artifacts] == ["onnx-fp32"]
    (failed,) = built.manifest.failed
    assert "exceed the range of float16" in failed.reason
    assert "--precision" in failed.hint


@pytest.mark.slow
def test_float_files_are_neither_calibrated_nor_corrected(lowered_here, tmp_path):
    recipe = kit.make_recipe(SMALL_NET, resolution=32, formats=("onnx",), precisions=("fp16",))
    manifest = kit.build(recipe, tmp_path / "b", use_cache=False).manifest
    assert recipe.quantize == "static"
    assert manifest.calibration is None
    assert manifest.corrections == ()
    assert not any(notice.code.startswith("calibration") for notice in manifest.notices)
    sections = [heading for heading, _ in explain(recipe)]
    assert not any("corrections" in heading or "ranges" in heading for heading in sections)


@pytest.mark.parametrize("method", ["dynamic", "qat"])
def test_a_method_that_quantizes_no_file_is_refused(method, tmp_path):
    recipe = kit.make_recipe(
        "mobilenet_v2", formats=("onnx",), precisions=("fp16",), quantize=method
    )
    with pytest.raises(RecipeError, match=f"{method}' does nothing: it makes none of the files"):
        kit.build(recipe, tmp_path / "b")
