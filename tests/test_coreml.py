"""Core ML packages: the bundle's own encodings, names and labels, damage, a missing package."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import small_net
from bundle_samples import SMALL_NET

import kit
from kit import cli
from kit.errors import BuildError, BundleError, MissingTool, RunError
from kit.formats.coreml import FORMAT as coreml
from kit.formats.coreml.session import CoreMlSession
from kit.formats.model_card import ModelCard
from kit.report import write as report
from kit.results import store
from kit.signature import TensorSpec

needs_coremltools = pytest.mark.skipif(
    find_spec("coremltools") is None, reason="the extra coreml is not installed"
)
converts = [pytest.mark.slow, needs_coremltools]
SIZE = 32
INPUT = TensorSpec(name="image", dtype="float32", shape=(1, 3, SIZE, SIZE))
OUTPUT = TensorSpec(name="output", dtype="float32", shape=(1, 7))
LABELS = ("cat", "dog, small", "Bär", "d", "e", "f", "g")
CARD = ModelCard("net", "a network", (INPUT,), (OUTPUT,), labels=LABELS)
FILES = [
    "Data/com.apple.CoreML/model.mlmodel",
    "Data/com.apple.CoreML/weights/weight.bin",
    "Manifest.json",
]


def draw_images(count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, 3, SIZE, SIZE)).astype(np.float32)


def quantize(model=None, method: str = "static", keep_float: tuple[str, ...] = ()):
    """Return the Q/DQ graph of a network."""
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

    coreml.export(graph, (torch.from_numpy(draw_images(1)),), path)
    return path


@pytest.fixture(scope="module")
def graph():
    return quantize()


@pytest.fixture(scope="module")
def package(graph, tmp_path_factory) -> Path:
    path = export(graph, tmp_path_factory.mktemp("coreml") / "int8.mlpackage")
    coreml.annotate(path, CARD)
    return path


@pytest.fixture
def copied(package, tmp_path) -> Path:
    return shutil.copytree(package, tmp_path / "model.mlpackage")


def read_specification(path: Path):
    """Return a package's specification, read by coremltools."""
    from coremltools.models.utils import load_spec

    return load_spec(str(path))


def list_operations(path: Path) -> list:
    function = read_specification(path).mlProgram.functions["main"]
    return list(function.block_specializations[function.opset].operations)


def list_files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def compute(package: Path, image: np.ndarray) -> np.ndarray:
    """Return what a package's program computes, by the definitions of its operations.

    https://apple.github.io/coremltools/source/coremltools.converters.mil.mil.ops.defs.html - in
    float32, so that results differ from Core ML's by rounding.
    """
    import torch
    from torch.nn import functional

    from kit.formats.coreml.package import read_package

    function = read_package(package).function
    values = {name: torch.from_numpy(image) for name in function.inputs}

    def read(tensor):
        return values.get(tensor.name, tensor.val)

    def tensor(value):
        return value if torch.is_tensor(value) else torch.from_numpy(np.asarray(value, np.float32))

    for operation in (one for one in function.operations if one.op_type != "const"):
        given = {name: read(value) for name, value in operation.inputs.items() if value is not None}
        kind, get = operation.op_type, lambda name, given=given: tensor(given[name])
        zero = get("zero_point") if given.get("zero_point") is not None else 0
        if kind == "conv":
            strides, pad = [int(n) for n in given["strides"]], [int(n) for n in given["pad"]]
            assert (given["pad_type"], set(pad), given["groups"]) == ("valid", {0}, 1)
            result = functional.conv2d(get("x"), get("weight"), get("bias"), strides)
        elif kind == "linear":
            result = functional.linear(get("x"), get("weight"), get("bias"))
        elif kind == "constexpr_affine_dequantize":
            data = get("quantized_data")
            shape = [-1 if axis == given["axis"] else 1 for axis in range(data.dim())]
            result = (data - zero.reshape(shape)) * get("scale").reshape(shape)
        elif kind == "quantize":
            low, high = (0, 255) if given["output_dtype"] == "uint8" else (-128, 127)
            result = (torch.round(get("input") / get("scale")) + zero).clamp(low, high)
        elif kind == "dequantize":
            result = (get("input") - zero) * get("scale")
        elif kind == "clip":
            result = get("x").clamp(float(given["alpha"]), float(given["beta"]))
        elif kind == "reduce_mean":
            result = get("x").mean(
                [int(n) for n in given["axes"]], keepdim=bool(given["keep_dims"])
            )
        elif kind == "reshape":
            result = get("x").reshape([int(n) for n in given["shape"]])
        else:
            assert kind == "cast"
            result = get("x")
        values[operation.outputs[0].name] = result
    return values[function.outputs[0].name].numpy()


def compute_graph(graph, image: np.ndarray) -> np.ndarray:
    import torch

    with torch.no_grad():
        return graph(torch.from_numpy(image)).numpy()


@pytest.mark.parametrize("use", ["load", "describe", "export", "prepare", "read_version"])
def test_missing_coremltools_names_the_extra(use, tmp_path, monkeypatch):
    from importlib import metadata

    def find_no_version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", find_no_version)
    for module in [m for m in sys.modules if m.split(".")[0] == "coremltools"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "coremltools", None)
    path = tmp_path / "model.mlpackage"
    path.mkdir()
    manifest = {"rootModelIdentifier": "a", "itemInfoEntries": {"a": {"path": "m"}}}
    (path / "Manifest.json").write_text(json.dumps(manifest))
    calls = {
        "load": lambda: coreml.load(path, 1),
        "describe": lambda: coreml.describe(path),
        "export": lambda: coreml.export(None, (), path),
        "prepare": lambda: coreml.prepare(1),
        "read_version": coreml.read_version,
    }
    with pytest.raises(MissingTool, match="coremltools is not installed") as caught:
        calls[use]()
    assert caught.value.hint == "pip install 'mobile-deployment-kit[coreml]'"


class TestInt8Package:
    pytestmark = converts

    def test_activations_have_the_scales_and_zero_points_of_the_graph(self, graph, package):
        """Scales are float16; -128 as zero point is stored as uint8 without a zero point."""
        import torch

        quantize = torch.ops.quantized_decomposed.quantize_per_tensor.default
        nodes = [node for node in graph.graph.nodes if node.target is quantize]
        expected = {(np.float16(node.args[1]), node.args[2]) for node in nodes}
        operations = list_operations(package)
        constants = {
            one.outputs[0].name: one.attributes["val"].immediateValue.tensor
            for one in operations
            if one.type == "const"
        }
        actual = set()
        for one in (one for one in operations if one.type == "quantize"):
            names = {name: value.arguments[0].name for name, value in one.inputs.items()}
            stored = constants[names["output_dtype"]].strings.values[0]
            (scale,) = np.frombuffer(constants[names["scale"]].bytes.values, np.float16)
            zero = 0
            if "zero_point" in names:
                (zero,) = np.frombuffer(constants[names["zero_point"]].bytes.values, stored)
            actual.add((scale, int(zero) - (128 if stored == "uint8" else 0)))
        assert actual == expected
        assert len(expected) == 5

    def test_weights_have_the_int8_values_and_scales_of_the_graph(self, graph, package):
        import torch
        from coremltools.libmilstoragepython import _BlobStorageReader

        dequantize = torch.ops.quantized_decomposed.dequantize_per_channel.default
        read = lambda node: getattr(graph, node.target).numpy()  # noqa: E731
        expected = [
            [read(argument) for argument in node.args[:2]]
            for node in graph.graph.nodes
            if node.target is dequantize
        ]
        blobs = _BlobStorageReader(str(package / FILES[1]))
        layers = [o for o in list_operations(package) if o.type == "constexpr_affine_dequantize"]
        assert len(layers) == len(expected) == 4
        for layer, (values, scales) in zip(layers, expected, strict=True):
            data = layer.attributes["quantized_data"].blobFileValue
            stored = blobs.read_int8_data(data.offset).reshape(values.shape)
            np.testing.assert_array_equal(stored, values)
            scale = layer.attributes["scale"]
            content = scale.immediateValue.tensor.bytes.values
            if scale.HasField("blobFileValue"):
                content = blobs.read_fp16_data(scale.blobFileValue.offset).tobytes()
            actual = np.frombuffer(content, np.float16)
            np.testing.assert_array_equal(actual, scales.astype(np.float16))

    def test_an_encoding_without_a_place_fails_the_build(self, graph, package):
        from kit.formats.coreml.package import read_package
        from kit.formats.coreml.placed_encodings import check_encodings
        from kit.formats.graph_encodings import list_encodings

        encodings, function = list_encodings(graph), read_package(package).function
        check_encodings(function, encodings)
        first, *others = encodings.activations
        moved = dataclasses.replace(first, zero_point=first.zero_point + 1)
        wider = dataclasses.replace(first, scale=first.scale * np.float32(1.01))
        weight, *weights = encodings.constants
        changed = dataclasses.replace(weight, values=weight.values ^ 1)
        for wrong, says in [
            ({"activations": (moved, *others)}, f"encoding of {first.name} .* finds no place"),
            ({"activations": (wider, *others)}, f"encoding of {first.name} .* finds no place"),
            ({"activations": tuple(others)}, "Core ML's converter gives .* of its own"),
            ({"constants": (changed, *weights)}, f"{weight.name} is not in the Core ML file"),
            ({"constants": tuple(weights)}, r"quantizes a constant of shape \[8, 3, 3, 3\]"),
        ]:
            with pytest.raises(BuildError, match=says):
                check_encodings(function, dataclasses.replace(encodings, **wrong))

    def test_an_encoding_lost_by_the_converter_fails_the_export(self, graph, tmp_path, monkeypatch):
        from kit.formats.coreml import export as module

        write = module.write_package

        def write_other(converted, path: Path) -> None:
            write(converted, path)
            model = module.import_coremltools("coremltools.proto.Model_pb2").Model()
            model.ParseFromString((path / FILES[0]).read_bytes())
            function = model.mlProgram.functions["main"]
            for one in function.block_specializations[function.opset].operations:
                if one.type == "const" and one.outputs[0].name.startswith("quantize_0_zero_point"):
                    one.attributes["val"].immediateValue.tensor.bytes.values = b"\x07"
            (path / FILES[0]).write_bytes(model.SerializeToString())

        monkeypatch.setattr(module, "write_package", write_other)
        with pytest.raises(BuildError, match="converter gives quantize_0_cast_fp16 an"):
            export(graph, tmp_path / "lost.mlpackage")

    def test_the_program_computes_the_same_as_the_graph(self, graph, package):
        for image in draw_images(4)[:, None]:
            expected, actual = compute_graph(graph, image), compute(package, image)
            # Scales are float16; a value between two levels may be rounded to either.
            assert np.abs(actual - expected).max() <= 0.02 * np.abs(expected).max()
            assert not np.array_equal(actual, expected)

    def test_it_computes_in_integers_and_names_supported_systems(self, package):
        described = coreml.describe(package)
        assert described.computed_in_float == {}
        assert described.operators["conv"] == 3
        assert "const" not in described.operators
        assert described.format_version == "specification 8 (iOS 17, macOS 14)"

    def test_inputs_and_outputs_are_float_in_the_networks_layout_with_the_signatures_names(
        self, package
    ):
        description = read_specification(package).description
        for (feature,), name, shape in (
            (description.input, "image", [1, 3, SIZE, SIZE]),
            (description.output, "output", [1, 7]),
        ):
            tensor = feature.type.multiArrayType
            assert (feature.name, list(tensor.shape)) == (name, shape)
            assert tensor.dataType == tensor.FLOAT32
        labels = description.metadata.userDefined["labels"]
        assert json.loads(labels) == list(LABELS)
        structure = coreml.read_structure(package)
        (graph,) = structure.graphs
        assert [one.type for one in graph.inputs] == [f"fp32 [1, 3, {SIZE}, {SIZE}]"]
        assert graph.nodes[0].operator == "constexpr_affine_dequantize"
        assert graph.nodes[-1].outputs == ("output",)
        convolution = next(node for node in graph.nodes if node.operator == "conv")
        assert convolution.parameters["strides"] == "[2 2]"
        assert structure.metadata["labels"].startswith('["cat"')

    def test_a_package_outside_of_a_bundle_is_shown(self, package, capsys):
        assert coreml.recognizes(package)
        assert not coreml.recognizes(package.parent)
        assert cli.run(["show", str(package)]) == 0
        assert "conv" in capsys.readouterr().out

    def test_two_conversions_give_equal_bytes_and_print_nothing(
        self, graph, package, tmp_path, capfd
    ):
        again = export(graph, tmp_path / "again.mlpackage")
        coreml.annotate(again, CARD)
        assert capfd.readouterr() == ("", "")
        assert list_files(again) == list_files(package) == FILES
        for name in FILES:
            assert (again / name).read_bytes() == (package / name).read_bytes()

    def test_an_inner_tensor_with_a_features_name_is_renamed(self, copied):
        (inside,) = coreml.read_structure(copied).graphs[0].nodes[-1].inputs
        other = OUTPUT.model_copy(update={"name": inside})
        coreml.annotate(copied, dataclasses.replace(CARD, outputs=(other,), labels=None))
        nodes = coreml.read_structure(copied).graphs[0].nodes
        assert nodes[-1].outputs == (inside,)
        assert nodes[-1].inputs == nodes[-2].outputs == (f"{inside}_inside",)

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            (FILES[0], b""),
            (FILES[0], b"\xff" * 64),
            (FILES[0], None),
            (FILES[1], b"\0" * 80),
            (FILES[1], None),
            (FILES[2], b"{}"),
            (FILES[2], b'{"rootModelIdentifier": "a", "itemInfoEntries": {"a": {"path": 1}}}'),
            (FILES[2], b'{"rootModelIdentifier": "a", "itemInfoEntries": {"a": {"path": "../b"}}}'),
            (FILES[2], None),
        ],
    )
    def test_a_damaged_package_is_refused_in_one_sentence(self, name, content, copied):
        if content is None:
            (copied / name).unlink()
        else:
            (copied / name).write_bytes(content)
        for use in (coreml.describe, coreml.check, lambda path: coreml.load(path, 1)):
            with pytest.raises(BundleError, match=str(copied)) as caught:
                use(copied)
            assert "\n" not in caught.value.message

    @pytest.mark.skipif(coreml.runs_here, reason="Core ML runs here")
    def test_it_is_not_run_where_there_is_no_core_ml(self, package):
        with pytest.raises(RunError, match="Core ML runs models on macOS only"):
            coreml.load(package, 1)


@pytest.mark.slow
@needs_coremltools
def test_an_addition_keeps_the_encodings_of_its_inputs(tmp_path):
    """The converter's own passes would fold the scale of one input into the others."""
    from torch import nn

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1)

        def forward(self, x):
            x = self.first(x)
            return x + self.second(x).relu()

    package = export(quantize(Residual().eval()), tmp_path / "residual.mlpackage")
    described = coreml.describe(package)
    assert described.operators["add"] == 1
    assert described.computed_in_float == {}


@pytest.mark.slow
@needs_coremltools
def test_a_layer_that_is_kept_in_float_stays_float(tmp_path):
    package = export(quantize(keep_float=("3",)), tmp_path / "kept.mlpackage")
    assert coreml.describe(package).computed_in_float["conv"] == 1


@pytest.mark.slow
@needs_coremltools
def test_float_packages_have_the_networks_weights_in_their_precision(tmp_path):
    from coremltools.libmilstoragepython import _BlobStorageReader

    from kit.quantize.half import cast_to_half

    graph = quantize(method="none")
    whole = export(graph, tmp_path / "fp32.mlpackage")
    half = export(cast_to_half(graph, (INPUT,), (OUTPUT,)), tmp_path / "fp16.mlpackage")
    weights = {
        value.size: value
        for value in (v.numpy() for v in graph.state_dict().values())
        if value.ndim > 1
    }
    for package, read, dtype in (
        (whole, "read_float_data", np.float32),
        (half, "read_fp16_data", np.float16),
    ):
        described = coreml.describe(package)
        image = draw_images(1)
        expected, tolerance = compute_graph(graph, image), 1e-5 if dtype == np.float32 else 2e-3
        np.testing.assert_allclose(compute(package, image), expected, atol=tolerance)
        assert described.format_version == "specification 7 (iOS 16, macOS 13)"
        assert described.operators["conv"] == 3
        (output,) = read_specification(package).description.output
        assert output.type.multiArrayType.dataType == output.type.multiArrayType.FLOAT32
        blobs = _BlobStorageReader(str(package / FILES[1]))
        layers = {
            one.inputs["weight"].arguments[0].name
            for one in list_operations(package)
            if "weight" in one.inputs
        }
        constants = [o for o in list_operations(package) if o.outputs[0].name in layers]
        assert len(constants) == len(weights) == 4
        for one in constants:
            actual = getattr(blobs, read)(one.attributes["val"].blobFileValue.offset)
            expected = weights[actual.size].astype(dtype).ravel()
            np.testing.assert_array_equal(actual.view(dtype), expected)


@pytest.mark.slow
@needs_coremltools
def test_dynamic_quantization_is_refused(tmp_path):
    with pytest.raises(BuildError, match="quantized dynamically") as caught:
        export(quantize(method="dynamic"), tmp_path / "dynamic.mlpackage")
    assert "--quantize static" in caught.value.hint
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@needs_coremltools
def test_an_operator_that_cannot_be_converted_fails_the_export(tmp_path, capfd):
    import torch
    from torch import nn

    class Decomposing(nn.Module):
        def forward(self, x):
            return torch.linalg.svdvals(x)

    graph = torch.fx.symbolic_trace(Decomposing().eval())
    with pytest.raises(BuildError, match="Core ML cannot convert Decomposing") as caught:
        coreml.export(graph, (torch.zeros(1, 4, 4),), tmp_path / "a.mlpackage")
    assert "\n" not in caught.value.message
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


def test_a_session_gives_core_ml_names_and_returns_outputs_in_order():
    """Core ML is mocked; the test checks the arguments and results."""

    class Model:
        def predict(self, feed):
            return {"b": feed["x"] + 1, "a": feed["y"] * 2}

    session = CoreMlSession(Model(), ["x", "y"], ["a", "b"])
    values = (np.float32([1]), np.float32([5]))
    first, second = session.read(session.bind(values)())
    assert (first[0], second[0]) == (10, 2)
    with pytest.raises(RunError, match="takes 2 inputs, not 1"):
        session.bind(values[:1])


@pytest.mark.slow
@needs_coremltools
def test_a_bundle_holds_packages_from_build_to_report(lowered_here, tmp_path, capsys):
    recipe = kit.make_recipe(
        SMALL_NET,
        resolution=SIZE,
        formats=("onnx", "coreml"),
        precisions=("fp32", "fp16", "int8"),
        observer="percentile",
        corrections="none",
    )
    built = kit.build(recipe, tmp_path / "b", use_cache=False)
    names = [f"coreml-{precision}" for precision in ("fp32", "fp16", "int8")]
    assert sorted(a.name for a in built.manifest.artifacts if a.format == "coreml") == sorted(names)
    if not coreml.runs_here:
        notices = [one for one in built.manifest.notices if one.code == "artifact.not-run"]
        assert {notice.values["file"] for notice in notices} == set(names)
    for name in names:
        artifact = built.manifest.artifact(name)
        assert artifact.file == f"model-{artifact.precision}.mlpackage"
        assert list_files(built.file(name)) == FILES
        assert artifact.executed == coreml.runs_here
        described = coreml.describe(built.file(name))
        assert (described.operators, described.format_version) == (
            artifact.operators,
            artifact.format_version,
        )
        sizes = [(built.file(name) / file).stat().st_size for file in FILES]
        assert built.manifest.measure(artifact.file).size == sum(sizes)
    assert cli.run(["show", str(built.path), "--format", "coreml"]) == 0
    assert "coreml-int8: model-int8.mlpackage" in capsys.readouterr().out
    (result,) = [kit.verify_processors(built)]
    refs = {ref.key.name: ref for ref in result.bundle.artifacts}
    assert refs["coreml-int8"].sha256 == store.find_digest(built, "coreml-int8")
    text = report.write([result], tmp_path / "page").markdown.read_text()
    assert ".mlpackage" in text
