"""MobileNets, static int8, in three formats: what is delegated and what is not.

The weights are random: an answer proves nothing here, the operators that a file is made of
do. Numbers of layers come from `kit.cost`, which reads them off the network.
"""

from __future__ import annotations

from collections import Counter

import pytest

import kit
from kit import cost

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("lowered_here")]

WIDTH, RESOLUTION = 0.35, 96
FORMATS = ("lite", "executorch", "onnx")

# V3-large has the operators of V3-small, only more of them; V2 is what other files build.
MODELS = ("mobilenet_v1", "mobilenet_v3_small")
# What ONNX Runtime computes in float between a DequantizeLinear and a QuantizeLinear; it
# has no integer kernel for these. Hard-swish is split into HardSigmoid and Mul.
FLOAT_IN_ORT = {
    "mobilenet_v1": {"ReduceMean": 1},
    "mobilenet_v3_small": {"ReduceMean": 10, "HardSigmoid": 19, "Mul": 19},
}
INT8_IN_ORT = {"QLinearConv", "QGemm", "QLinearAdd", "QLinearMul"}
MOVES = {"QuantizeLinear", "DequantizeLinear", "Transpose", "Reshape"}


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module", params=MODELS)
def built(request, tmp_path_factory):
    recipe = kit.make_recipe(
        request.param,
        weights="random",
        resolution=RESOLUTION,
        width=WIDTH,
        calibration_images=8,
        observer="percentile",
        formats=FORMATS,
    )
    target = tmp_path_factory.mktemp(request.param) / "bundle"
    return kit.build(recipe, target)


@pytest.fixture
def model(built) -> str:
    return built.manifest.recipe.model


@pytest.fixture
def layers(model) -> int:
    return cost.compute_cost(model, RESOLUTION, WIDTH).total.layers


def test_every_format_is_built_and_computes_what_its_graph_computes(built):
    assert [a.format for a in built.manifest.artifacts] == list(FORMATS)
    for artifact in built.manifest.artifacts:
        assert artifact.quantize == "static"
        graph = artifact.parity[0]
        assert graph.against == "quantized graph"
        assert graph.passed


def test_executorch_lists_what_is_delegated_and_what_is_not(built, layers):
    artifact = built.manifest.artifact("executorch")
    taken = {k: n for k, n in artifact.operators.items() if k.startswith("xnnpack::")}
    assert artifact.delegates == {"XnnpackBackend": sum(taken.values())}
    assert artifact.not_delegated == {}
    own = {"executorch_call_delegate", *taken}
    rest = {k: n for k, n in artifact.operators.items() if k not in own}
    assert rest == artifact.not_delegated
    computing = ("xnnpack::Conv2d", "xnnpack::DepthwiseConv2d", "xnnpack::FullyConnected")
    assert sum(taken[kind] for kind in computing) == layers
    assert artifact.operators["executorch_call_delegate"] == 1


def test_lite_computes_nothing_in_float(built):
    operators = built.manifest.artifact("lite").operators
    assert operators["aten::quantize_per_tensor.tensor_qparams"] == 1
    assert operators["aten::dequantize.self"] == 1
    # Without a prefix, these are the kernels of quantized tensors: nothing turned them back.
    quantized_too = {"aten::adaptive_avg_pool2d", "aten::flatten.using_ints"}
    edges = {"aten::quantize_per_tensor.tensor_qparams", "aten::dequantize.self"}
    rest = {k for k in operators if not k.startswith("quantized::")} - edges
    assert rest <= quantized_too


def test_onnx_runtime_runs_every_layer_in_integers(built, model, layers, tmp_path):
    import onnx
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 4  # it warns that such a file fits this machine only
    ort.InferenceSession(str(built.file("onnx")), options, providers=["CPUExecutionProvider"])
    graph = onnx.load(options.optimized_model_filepath).graph
    operators = Counter(node.op_type for node in graph.node)
    assert operators["QLinearConv"] + operators["QGemm"] == layers
    floats = {k: n for k, n in operators.items() if k not in INT8_IN_ORT | MOVES}
    assert floats == FLOAT_IN_ORT[model]
