"""TorchScript: branches and state, dynamic int8, the x86 engine."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
import torch
from bundle_samples import net
from script_models import Branching, Straight, Undecidable
from tensor_models import Recurrent
from torch import nn

from kit import formats
from kit.algorithms import get_algorithm
from kit.comparison import compute_sqnr_db
from kit.errors import BuildError, RunError
from kit.formats.torchscript import engine, write_module
from kit.formats.torchscript.compiling import optimize
from kit.formats.torchscript.engine import MEMBER, ONEDNN, read_engine
from kit.quantize.examples import from_samples
from kit.quantize.graph import fold
from kit.quantize.options import Options
from kit.signature import stack

FORMAT = formats.get_format("torchscript")
OPTIONS = Options(granularity="per-channel", output_margin=1.0, observer="minmax")


def answers(session, inputs: list[np.ndarray]) -> list[np.ndarray]:
    return [session.read(session.bind((one,))())[0] for one in inputs]


def test_a_branch_on_values_and_a_list_of_past_answers_are_kept(tmp_path):
    path = tmp_path / "model.pt"
    assert write_module(Branching().eval(), (torch.zeros(1, 4),), path) == "scripted"
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(1, 4)).astype(np.float32) + sign for sign in (1, -1) * 4]
    assert {bool(one.sum() > 0) for one in inputs} == {True, False}
    eager = Branching().eval()
    with torch.inference_mode():
        expected = [eager(torch.from_numpy(one)).numpy() for one in inputs]
    result = answers(FORMAT.load(path, 1), inputs)
    assert all(np.array_equal(one, other) for one, other in zip(result, expected, strict=True))
    # Without the past, the last answer would be another.
    (alone,) = answers(FORMAT.load(path, 1), inputs[-1:])
    assert not np.array_equal(alone, expected[-1])
    assert FORMAT.describe(path).format_version.endswith(", scripted")


@pytest.mark.parametrize("model", [net(), Straight()])
def test_a_model_without_branches_on_values_is_traced(tmp_path, model):
    path = tmp_path / "model.pt"
    example = torch.zeros(1, 3, 32, 32)
    assert write_module(model.eval(), (example,), path) == "traced"
    assert FORMAT.describe(path).format_version.endswith(", traced")


def test_a_branch_that_cannot_be_scripted_is_refused_and_not_traced(tmp_path):
    with pytest.raises(BuildError, match="decides on the values") as caught:
        write_module(Undecidable().eval(), (torch.zeros(1, 4),), tmp_path / "model.pt")
    assert "\n" not in caught.value.message
    assert not list(tmp_path.iterdir())


def test_a_float_file_is_optimized_as_it_is_loaded_and_answers_the_same(tmp_path):
    path = tmp_path / "model.pt"
    model = net().eval()
    write_module(model, (torch.zeros(1, 3, 32, 32),), path)
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(1, 3, 32, 32)).astype(np.float32) for _ in range(4)]
    with torch.inference_mode():
        expected = [model(torch.from_numpy(one)).numpy() for one in inputs]
    result = answers(FORMAT.load(path, 1), inputs)
    assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(result, expected, strict=True))
    half = torch.jit.freeze(torch.jit.trace(net().eval().half(), torch.zeros(1, 3, 32, 32).half()))
    for script, changes in ((torch.jit.load(str(path)), True), (half, False)):
        before = str(script.graph)
        assert (str(optimize(script).graph) != before) == changes


def quantize(method: str, model: nn.Module, samples):
    examples = from_samples(samples, at_once=False)
    graph = get_algorithm(method).quantize(fold(model, examples), "torch-ao", examples, OPTIONS)
    return graph.graph, examples.first()


@pytest.mark.parametrize("kind", ["Linear", "LSTM"])
def test_dynamic_int8_gives_the_answers_of_its_graph(tmp_path, kind):
    from kit.signature import Samples, TensorSpec

    rng = np.random.default_rng(0)
    if kind == "LSTM":
        model, shapes = Recurrent(), {"x": (5, 1, 6), "h": (1, 1, 8), "c": (1, 1, 8)}
    else:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 3))
        shapes = {"x": (1, 12)}
    specs = tuple(TensorSpec(name=name, shape=shape) for name, shape in shapes.items())
    arrays = tuple(rng.normal(size=(4, *spec.sample_shape)).astype(np.float32) for spec in specs)
    samples = Samples(specs, arrays)
    graph, example = quantize("dynamic", model.eval(), samples)
    path = tmp_path / "model.pt"
    torch.backends.quantized.engine = "qnnpack"
    FORMAT.export(graph, example, path)
    session = FORMAT.load(path, 1)
    dynamic = [name for name in FORMAT.describe(path).operators if "dynamic" in name]
    assert dynamic
    for number in range(4):
        inputs = samples[number]
        with torch.inference_mode():
            expected = graph(*(torch.from_numpy(one.copy()) for one in inputs))
        expected = expected if isinstance(expected, tuple) else (expected,)
        result = session.read(session.bind(inputs)())
        assert all(np.array_equal(a, b.numpy()) for a, b in zip(result, expected, strict=True))


@pytest.fixture
def levels(tmp_path):
    """A small int8 network as files of both engines, with its graph's answers."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(8, 3, 32, 32)).astype(np.float32)
    samples = stack("input", images)
    graph, example = quantize("static", net(), samples)
    paths = {"qnnpack": tmp_path / "phone.pt", "x86": tmp_path / "desktop.pt"}
    torch.backends.quantized.engine = "qnnpack"
    FORMAT.export(graph, example, paths["qnnpack"])
    return graph, example, paths, [images[i : i + 1] for i in range(8)]


@pytest.mark.slow
@pytest.mark.skipif(
    ONEDNN not in torch.backends.quantized.supported_engines or engine.saturates(),
    reason="needs an x86 processor with VNNI: oneDNN does not compute right here",
)
def test_the_x86_backend_equals_qnnpack_up_to_rounding(levels):
    graph, example, paths, images = levels
    FORMAT.find_backend("x86").export(graph, example, paths["x86"])
    assert {name: read_engine(path) for name, path in paths.items()} == {
        "qnnpack": "qnnpack",
        "x86": "onednn",
    }
    assert FORMAT.describe(paths["x86"]).format_version.endswith("onednn engine")
    # Files of both engines are loaded in one process, in either order.
    for order in (("qnnpack", "x86"), ("x86", "qnnpack")):
        result = {name: np.stack(answers(FORMAT.load(paths[name], 1), images)) for name in order}
        noise = compute_sqnr_db(result["qnnpack"], result["x86"])
        assert noise is None or noise > 30
    with torch.inference_mode():
        torch.backends.quantized.engine = "qnnpack"
        own = np.stack([graph(torch.from_numpy(one)).numpy() for one in images])
    assert np.array_equal(own, result["qnnpack"])


def test_a_saturating_processor_is_refused(levels, monkeypatch, tmp_path):
    graph, example, paths, _ = levels
    monkeypatch.setattr(engine, "saturates", lambda: True)
    with pytest.raises(RunError, match=r"saturate|has no onednn engine"):
        FORMAT.find_backend("x86").export(graph, example, paths["x86"])
    assert not paths["x86"].exists()
    with zipfile.ZipFile(paths["qnnpack"]) as source, zipfile.ZipFile(paths["x86"], "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
        target.writestr(f"{source.namelist()[0].split('/')[0]}/extra/{MEMBER}", ONEDNN)
    with pytest.raises(RunError, match=r"saturate|has no onednn engine"):
        FORMAT.load(paths["x86"], 1)


def test_recurrent_layers_are_not_packed_for_x86():
    from kit.formats.torchscript.x86 import pack_again

    torch.backends.quantized.engine = "qnnpack"
    graph = torch.ao.quantization.quantize_dynamic(Recurrent().eval(), {nn.LSTM})
    with pytest.raises(BuildError, match="recurrent layer lstm"):
        pack_again(graph)
