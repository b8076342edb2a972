"""LiteRT files: the bundle's own encodings, float layers, names, and a missing package."""

from __future__ import annotations

import dataclasses
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import small_net

import kit
from kit import formats
from kit.errors import BuildError, MissingTool, RunError
from kit.formats.litert import FORMAT as litert
from kit.formats.litert.session import LiteRtSession

needs_litert = pytest.mark.skipif(
    find_spec("litert_torch") is None or find_spec("ai_edge_litert") is None,
    reason="the extra litert is not installed",
)
converts = [pytest.mark.slow, needs_litert]
SIZE = 32


def draw_images(count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, 3, SIZE, SIZE)).astype(np.float32)


def quantize(keep_float: tuple[str, ...] = (), method: str = "static", model=None):
    """Return the Q/DQ graph of a network, the small one if none is given."""
    import torch

    from kit.algorithms import get_algorithm
    from kit.quantize.examples import as_examples
    from kit.quantize.graph import fold
    from kit.quantize.options import Options

    images = torch.from_numpy(draw_images(8))
    options = Options("per-channel", 1.0, keep_float=keep_float)
    folded = fold(model or small_net.make(), images)
    return get_algorithm(method).quantize(folded, "pt2e-s8", as_examples(images), options).graph


def export(graph, path: Path) -> Path:
    import torch

    litert.export(graph, (torch.from_numpy(draw_images(1)),), path)
    return path


def answer(session, images: np.ndarray) -> np.ndarray:
    return np.concatenate([session.read(session.bind((i[None],))())[0] for i in images])


def answer_graph(graph, images: np.ndarray) -> np.ndarray:
    import torch

    with torch.no_grad():
        return np.concatenate([graph(torch.from_numpy(i[None])).numpy() for i in images])


@pytest.fixture(scope="module")
def graph():
    return quantize()


@pytest.fixture(scope="module")
def file(graph, tmp_path_factory) -> Path:
    return export(graph, tmp_path_factory.mktemp("litert") / "int8.tflite")


@pytest.fixture
def interpreter(file):
    """LiteRT's own reader of files, without a delegate."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kind = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    result = Interpreter(model_path=str(file), experimental_op_resolver_type=kind)
    result.allocate_tensors()
    return result


@pytest.mark.parametrize("use", ["load", "describe", "export", "prepare", "read_version"])
def test_a_package_that_is_missing_is_named_with_the_extra(use, tmp_path, monkeypatch):
    from importlib import metadata

    def find_no_version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", find_no_version)
    for name in ("ai_edge_litert", "litert_torch"):
        for module in {name, *(m for m in sys.modules if m.startswith(f"{name}."))}:
            monkeypatch.delitem(sys.modules, module, raising=False)
        monkeypatch.setitem(sys.modules, name, None)
    path = tmp_path / "model.tflite"
    path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(64))
    calls = {
        "load": lambda: litert.load(path, 1),
        "describe": lambda: litert.describe(path),
        "export": lambda: litert.export(None, (), path),
        "prepare": lambda: litert.prepare(1),
        "read_version": litert.read_version,
    }
    with pytest.raises(MissingTool, match="is not installed") as caught:
        calls[use]()
    assert caught.value.hint == "pip install 'mobile-deployment-kit[litert]'"


def test_a_build_without_the_extra_ends_before_anything_that_takes_long(tmp_path, monkeypatch):
    from importlib import metadata

    version = metadata.version

    def find_version(name: str) -> str:
        if name == "litert-torch":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", find_version)
    stages: list[str] = []
    recipe = kit.make_recipe("mobilenet_v2", formats=("onnx", "litert"))
    with pytest.raises(MissingTool, match="litert-torch is not installed") as caught:
        kit.build(recipe, tmp_path / "b", stages.append)
    assert caught.value.hint == "pip install 'mobile-deployment-kit[litert]'"
    assert stages == ["reading the inputs"]
    assert not list(tmp_path.iterdir())


class TestInt8File:
    pytestmark = converts

    def test_activations_have_the_scales_and_zero_points_of_the_graph(self, graph, interpreter):
        import torch

        quantize = torch.ops.quantized_decomposed.quantize_per_tensor.default
        nodes = [node for node in graph.graph.nodes if node.target is quantize]
        expected = {(np.float32(node.args[1]), node.args[2]) for node in nodes}
        details = {t["index"]: t for t in interpreter.get_tensor_details()}
        computed = [details[i] for op in interpreter._get_ops_details() for i in op["outputs"]]
        parameters = [t["quantization_parameters"] for t in computed if t["dtype"] is np.int8]
        activations = {(one["scales"][0], one["zero_points"][0]) for one in parameters}
        assert activations == expected
        assert len(expected) == 5

    def test_weights_have_the_int8_values_and_scales_of_the_graph(self, graph, interpreter):
        import torch

        dequantize = torch.ops.quantized_decomposed.dequantize_per_channel.default
        read = lambda node: getattr(graph, node.target).numpy()  # noqa: E731
        expected = [
            [read(argument) for argument in node.args[:2]]
            for node in graph.graph.nodes
            if node.target is dequantize
        ]
        layers = [
            op
            for op in interpreter._get_ops_details()
            if op["op_name"] in ("CONV_2D", "FULLY_CONNECTED")
        ]
        details = {t["index"]: t for t in interpreter.get_tensor_details()}
        assert len(layers) == len(expected) == 4
        for layer, (values, scales) in zip(layers, expected, strict=True):
            index = layer["inputs"][1]
            stored = interpreter.get_tensor(index)
            reordered = values.transpose(0, 2, 3, 1) if values.ndim == 4 else values
            np.testing.assert_array_equal(stored, reordered)
            parameters = details[index]["quantization_parameters"]
            np.testing.assert_array_equal(parameters["scales"], scales)
            assert not parameters["zero_points"].any()

    def test_it_computes_in_integers_and_answers_as_the_graph(self, graph, file):
        images = draw_images(4)
        expected = answer_graph(graph, images)
        result = answer(litert.load(file, 1), images)
        # A value between two levels may be rounded to either.
        assert np.abs(result - expected).max() <= 0.01 * np.abs(expected).max()
        described = litert.describe(file)
        assert described.computed_in_float == {}
        assert described.not_delegated == {}
        assert described.delegates == {"xnnpack": sum(described.operators.values())}
        assert litert.reads.includes(described.format_version)

    def test_its_structure_is_what_the_interpreter_sees(self, file, interpreter):
        structure = litert.read_structure(file)
        (graph,) = structure.graphs
        operators = [op["op_name"] for op in interpreter._get_ops_details()]
        assert [node.operator for node in graph.nodes] == operators
        assert [tensor.type for tensor in graph.inputs] == [f"float32 [1, 3, {SIZE}, {SIZE}]"]
        assert [tensor.name for tensor in graph.inputs] == ["input"]
        convolution = next(node for node in graph.nodes if node.operator == "CONV_2D")
        assert convolution.parameters["strideH"] in ("1", "2")
        assert len(convolution.inputs) == 3
        assert structure.metadata["schema"] == "3"

    def test_inputs_and_outputs_are_float_in_the_networks_layout_and_named(self, interpreter):
        (source,), (answered,) = interpreter.get_input_details(), interpreter.get_output_details()
        assert (source["dtype"], list(source["shape"])) == (np.float32, [1, 3, SIZE, SIZE])
        assert (answered["dtype"], list(answered["shape"])) == (np.float32, [1, 7])
        assert source["name"] == "input"
        assert interpreter.get_signature_list()["serving_default"]["inputs"] == ["input"]

    def test_an_encoding_without_a_place_fails_the_export(self, graph, file):
        import torch

        from kit.formats.litert.flatbuffer import read_model
        from kit.formats.litert.placed_encodings import check_encodings
        from kit.formats.litert.quantized_graph import unfold_constants

        copied = torch.export.export(graph, (torch.from_numpy(draw_images(1)),)).module()
        encodings = unfold_constants(copied)
        model = read_model(file)
        check_encodings(model, encodings)
        first, *others = encodings.activations
        moved = dataclasses.replace(first, zero_point=first.zero_point + 1)
        weight, *weights = encodings.constants
        changed = dataclasses.replace(weight, values=weight.values ^ 1)
        for wrong, says in [
            ({"activations": (moved, *others)}, f"encoding of {first.name} .* finds no place"),
            ({"activations": tuple(others)}, "an encoding of its own"),
            ({"constants": (changed, *weights)}, f"{weight.name} is not in the LiteRT file"),
            ({"constants": tuple(weights)}, r"quantizes a constant of shape \[8, 3, 3, 3\]"),
        ]:
            with pytest.raises(BuildError, match=says):
                check_encodings(model, dataclasses.replace(encodings, **wrong))

    def test_a_call_runs_its_own_inputs_whatever_was_bound_since(self, file):
        session = litert.load(file, 1)
        first, second = draw_images(2)[:, None]
        call = session.bind((first,))
        alone = session.read(call())[0]
        other = session.read(session.bind((second,))())[0]
        assert not np.array_equal(alone, other)
        for _ in range(2):
            np.testing.assert_array_equal(session.read(call())[0], alone)

    def test_other_inputs_are_refused(self, file):
        session = litert.load(file, 1)
        (image,) = draw_images(1)[:, None]
        for wrong in ((), (image, image), (image.astype(np.float64),), (image[:, :2],)):
            with pytest.raises(RunError, match="the file takes") as caught:
                session.bind(wrong)
            assert "\n" not in caught.value.message


@pytest.mark.slow
@needs_litert
def test_a_layer_that_is_kept_in_float_stays_float(tmp_path):
    """The converter alone gives it int8 weights of its own, as it is between int8 layers."""
    graph = quantize(keep_float=("3",))
    file = export(graph, tmp_path / "kept.tflite")
    assert litert.describe(file).computed_in_float["CONV_2D"] == 1
    images = draw_images(4)
    expected, result = answer_graph(graph, images), answer(litert.load(file, 1), images)
    assert np.abs(result - expected).max() <= 0.01 * np.abs(expected).max()


@pytest.mark.slow
@needs_litert
def test_bodies_of_operators_may_be_beside_the_graph(tmp_path, monkeypatch):
    import torch

    from kit.formats.litert import flatbuffer, strict_converter

    converter = strict_converter.convert

    def convert(*arguments, **options):
        model = flatbuffer.unpack_model(converter(*arguments, **options))
        body = flatbuffer.unpack_model(flatbuffer.pack_model(model)).subgraphs[0]
        model.subgraphs.append(body)
        return flatbuffer.pack_model(model)

    monkeypatch.setattr(strict_converter, "convert", convert)
    path = export(torch.fx.symbolic_trace(small_net.make()), tmp_path / "two.tflite")
    model = flatbuffer.read_model(path)
    assert len(model.subgraphs) == 2
    graph = model.subgraphs[0]
    assert [graph.tensors[index].name for index in graph.inputs] == [b"input"]


@pytest.mark.slow
@needs_litert
def test_a_float_file_has_the_networks_answers(tmp_path):
    graph = quantize(method="none")
    file = export(graph, tmp_path / "float.tflite")
    images = draw_images(4)
    result = answer(litert.load(file, 2), images)
    np.testing.assert_allclose(result, answer_graph(graph, images), atol=1e-5)


@pytest.mark.slow
@needs_litert
@pytest.mark.parametrize(
    ("method", "gain", "transposes"), [("none", 1, 2), ("static", 100, 2), ("static", 1, 4)]
)
def test_padding_on_one_side_costs_no_transpose(tmp_path, method, gain, transposes):
    """As networks from TensorFlow pad; the converter alone transposes before and after each.

    Where the ranges before and after it differ, as without a clip that is reached, these stay.
    """
    from torch import nn

    layers = [nn.Conv2d(3, 4, 3), nn.ReLU6(), nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(4, 4, 3, 2)]
    # The last adds a channel on one side as well, which is another dimension than in PyTorch.
    pad = nn.ConstantPad3d((1, 0, 0, 2, 3, 1), 0.0)
    layers += [nn.ReLU6(), pad, nn.Conv2d(8, 8, 3)]
    for layer in (layers[0], layers[3]):
        layer.weight.data *= gain
    graph = quantize(method=method, model=nn.Sequential(*layers).eval())
    file = export(graph, tmp_path / "padded.tflite")
    operators = litert.describe(file).operators
    assert operators["PAD"] == 1  # the first is the padding of its convolution
    assert operators["TRANSPOSE"] == transposes  # two of the input and the output
    images = draw_images(4)
    expected, result = answer_graph(graph, images), answer(litert.load(file, 1), images)
    np.testing.assert_allclose(result, expected, atol=0.02 * np.abs(expected).max())


@pytest.mark.slow
@needs_litert
@pytest.mark.parametrize(("kind", "name"), [("GELU", "GELU"), ("Hardswish", "HARD_SWISH")])
def test_operators_without_integer_kernels_are_computed_in_float(tmp_path, kind, name):
    """XNNPACK takes them then, and the file computes what the graph does."""
    from torch import nn

    activation = getattr(nn, kind)
    layers = [nn.Conv2d(3, 8, 3, 2), activation(), nn.Conv2d(8, 8, 3, groups=8), activation()]
    graph = quantize(model=nn.Sequential(*layers, nn.Conv2d(8, 4, 1)).eval())
    file = export(graph, tmp_path / "int8.tflite")
    described = litert.describe(file)
    assert described.computed_in_float == {name: 2}
    assert described.not_delegated == {}
    images = draw_images(4)
    expected, result = answer_graph(graph, images), answer(litert.load(file, 1), images)
    assert np.abs(result - expected).max() <= 0.01 * np.abs(expected).max()


def count_bytes(file: Path) -> int:
    """Return the size of all constants in a file."""
    from kit.formats.litert.flatbuffer import read_model

    data = (content.data for content in read_model(file).buffers)
    return sum(len(one) for one in data if one is not None)


@pytest.mark.slow
@needs_litert
def test_a_half_file_stores_weights_in_half_the_space_and_answers_nearly_the_same(tmp_path):
    import torch

    from kit.quantize.half import cast_to_half
    from kit.signature import TensorSpec

    graph = quantize(method="none")
    spec = TensorSpec(name="input", dtype="float32", shape=(1, 3, SIZE, SIZE))
    output = TensorSpec(name="output", dtype="float32", shape=(1, 7))
    half = cast_to_half(graph, (spec,), (output,))
    file = export(half, tmp_path / "half.tflite")
    whole = export(graph, tmp_path / "float.tflite")
    weights = sum(value.numel() for value in graph.state_dict().values())
    assert count_bytes(whole) - count_bytes(file) == 2 * weights
    images = draw_images(4)
    result, exact = answer(litert.load(file, 1), images), answer_graph(graph, images)
    rounded = quantize(method="none")
    rounded.load_state_dict({n: v.half().float() for n, v in graph.state_dict().items()})
    np.testing.assert_allclose(result, answer_graph(rounded, images), atol=1e-5)
    assert not np.array_equal(result, exact)
    assert litert.describe(file).operators["DEQUANTIZE"] == 8
    assert next(iter(half.state_dict().values())).dtype == torch.float16  # not changed


@pytest.mark.slow
@needs_litert
def test_a_dynamic_file_has_the_int8_weights_of_the_graph_and_its_answers(tmp_path):
    """LiteRT's own reader, without XNNPACK, shows the weights; XNNPACK computes all."""
    import torch
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    graph = quantize(method="dynamic")
    file = export(graph, tmp_path / "dynamic.tflite")
    kind = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    result = Interpreter(model_path=str(file), experimental_op_resolver_type=kind)
    result.allocate_tensors()
    (layer,) = (op for op in result._get_ops_details() if op["op_name"] == "FULLY_CONNECTED")
    details = {t["index"]: t for t in result.get_tensor_details()}
    taken, weight, _ = (details[index] for index in layer["inputs"])
    dequantize = torch.ops.quantized_decomposed.dequantize_per_channel.default
    (node,) = (node for node in graph.graph.nodes if node.target is dequantize)
    values, scales = (getattr(graph, argument.target).numpy() for argument in node.args[:2])
    assert taken["dtype"] is np.float32
    np.testing.assert_array_equal(result.get_tensor(weight["index"]), values)
    np.testing.assert_array_equal(weight["quantization_parameters"]["scales"], scales)
    images = draw_images(4)
    expected, exact = answer_graph(graph, images), answer_graph(quantize(method="none"), images)
    for session in (litert.load(file, 1), LiteRtSession(result)):
        answers = answer(session, images)
        assert np.abs(answers - expected).max() <= 1e-4 * np.abs(expected).max()
        assert np.abs(answers - exact).max() > 1e-3 * np.abs(exact).max()
    described = litert.describe(file)
    assert described.computed_in_float == {"CONV_2D": 3, "MEAN": 1}
    assert described.not_delegated == {}
    assert described.format_version == "schema 3, runtime 2.17.0"


@needs_litert
def test_dynamic_weights_without_a_layer_are_refused():
    from ai_edge_litert import schema_py_generated as schema

    from kit.formats.litert.dynamic_weights import store_weights
    from kit.formats.litert.quantized_graph import ConstantEncoding

    model = schema.ModelT()
    model.operatorCodes, model.subgraphs = [], [schema.SubGraphT()]
    values = np.ones((2, 3), np.int8)
    weights = (ConstantEncoding("the constant of head", values, np.ones(2, np.float32)),)
    with pytest.raises(BuildError, match="computes with the constant of head in") as caught:
        store_weights(model, weights)
    assert "--quantize static" in caught.value.hint


@pytest.mark.slow
@needs_litert
def test_an_operator_that_cannot_be_converted_fails_the_export(tmp_path):
    import torch
    from torch import nn

    class Sorting(nn.Module):
        def forward(self, x):
            return torch.linalg.svdvals(x)

    graph = torch.fx.symbolic_trace(Sorting().eval())
    with pytest.raises(BuildError, match="LiteRT cannot convert Sorting") as caught:
        litert.export(graph, (torch.zeros(1, 4, 4),), tmp_path / "a.tflite")
    assert "\n" not in caught.value.message


@pytest.mark.slow
@needs_litert
def test_mobilenet_v2_is_as_accurate_as_in_onnx(official_int8):
    """Both place the same encodings, so int8 costs both the same."""
    built = official_int8
    ratios = {
        artifact.format: next(
            row.sqnr_db for row in artifact.parity if row.against == "float reference"
        )
        for artifact in built.manifest.artifacts
    }
    assert ratios["litert"] == pytest.approx(ratios["onnx"], abs=0.5)
    described = formats.get_format("litert").describe(built.file("litert"))
    assert described.computed_in_float == {}
    assert described.not_delegated == {}
