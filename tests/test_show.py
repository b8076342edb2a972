"""`kit show`: the structure of model files, read without running them."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import onnx
import pytest

from kit import cli, formats
from kit.bundles import writing
from kit.encodings import Encoding, Encodings
from kit.encodings import read as read_encodings
from kit.errors import MissingTool
from kit.formats.structure import (
    MAX_VALUE_LETTERS,
    GraphEntry,
    ModelStructure,
    TensorEncoding,
    TensorEntry,
    abbreviate,
)
from kit.json_outputs import read_output
from kit.results import store
from kit.results.latency import Operator
from kit.show.sources import name_sources


@pytest.fixture
def show(tiny_bundle, capsys):
    def call(*options: str) -> str:
        assert cli.run(["show", str(tiny_bundle.path), *options]) == 0
        return capsys.readouterr().out

    return call


def test_a_summary_counts_the_operators_of_each_file(show):
    text = show()
    assert "lite-fp32: model-fp32.ptl" in text
    assert "onnx-fp32: model-fp32.onnx" in text
    assert " -> " not in text
    assert "self" not in text  # no code


def test_listed_nodes_equal_those_of_the_onnx_package(show, tiny_bundle):
    text = show("--format", "onnx", "--json")
    read_output("show", text)
    (shown,) = json.loads(text)["files"].values()
    model = onnx.load(tiny_bundle.file("onnx-fp32"))
    (graph,) = shown["graphs"]
    assert shown["metadata"]["IR version"] == str(model.ir_version)
    assert (model.ir_version, model.opset_import[0].version) == (8, 18)  # ONNX Runtime 1.15
    assert f"ai.onnx {model.opset_import[0].version}" in shown["metadata"]["opset"]
    assert [node["operator"] for node in graph["nodes"]] == [n.op_type for n in model.graph.node]
    for node, own in zip(graph["nodes"], model.graph.node, strict=True):
        assert (node["inputs"], node["outputs"]) == (list(own.input), list(own.output))
        assert set(node["parameters"]) == {attribute.name for attribute in own.attribute}
    assert graph["weights"] == len(model.graph.initializer)
    inputs = tiny_bundle.manifest.signature.inputs
    (tensor,) = graph["inputs"]
    assert tensor["type"] == f"float32 [{', '.join(map(str, inputs[0].shape))}]"


def test_onnx_files_show_the_support_of_phone_providers(tmp_path):
    from onnx import TensorProto, helper

    tensors = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 4]) for n in "ad"]
    nodes = [
        helper.make_node(kind, [one], [other])
        for kind, one, other in (("Relu", "a", "b"), ("HardSwish", "b", "c"), ("Relu", "c", "d"))
    ]
    path = tmp_path / "model.onnx"
    shown = {}
    for name, chosen in (("some", nodes), ("all", [helper.make_node("Relu", ["a"], ["d"])])):
        graph = helper.make_graph(chosen, "g", tensors[:1], tensors[1:])
        opset = helper.make_opsetid("", 18)
        onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
        shown[name] = formats.get_format("onnx").read_structure(path).metadata["NNAPI provider"]
    assert shown["some"] == "2 of 3 nodes in 2 parts, by their names, without HardSwish"
    assert shown["all"] == "all nodes, by their names"


def test_one_format_prints_nodes_with_inputs_outputs_and_parameters(show):
    lines = show("--format", "onnx-fp32").splitlines()
    (line,) = [line for line in lines if " Conv " in line][:1]
    assert " -> " in line
    assert "kernel_shape=[" in line
    assert not any("lite" in line for line in lines)


def test_the_code_of_a_lite_file_is_that_of_its_archive(show, tiny_bundle):
    text = show("--format", "lite")
    with zipfile.ZipFile(tiny_bundle.file("lite-fp32")) as archive:
        (name, *_) = [n for n in archive.namelist() if n.endswith(".py")]
        code = archive.read(name).decode()
    assert f"# {name}" in text
    assert code.strip() in text


def small_int8_encodings(bundle):
    return read_encodings(bundle.path / bundle.manifest.encodings)


def activations_in_float32(scales):
    return set(np.asarray(sorted(scales), np.float32).tolist())


@pytest.mark.slow
def test_an_executorch_program_has_instructions_and_delegates(small_int8):
    structure = formats.get_format("executorch").read_structure(small_int8.file("executorch-int8"))
    artifact = small_int8.manifest.artifact("executorch-int8")
    main, *delegates = structure.graphs
    calls = [node for node in main.nodes if node.operator == "executorch_call_delegate"]
    assert len(calls) == artifact.operators["executorch_call_delegate"]
    assert sum(len(graph.nodes) for graph in delegates) == sum(artifact.delegates.values())
    assert {node.name for node in calls} == {graph.name for graph in delegates}
    (graph,) = delegates
    written = {one.name for one in graph.inputs} | {name for n in graph.nodes for name in n.outputs}
    assert all(one.name in written for one in graph.outputs)
    activations = {e.scales[0] for e in small_int8_encodings(small_int8).activations}
    actual = {
        tensor.encoding.scales[0]
        for tensor in graph.list_tensors().values()
        if tensor.encoding and len(tensor.encoding.scales) == 1
    }
    assert activations_in_float32(activations) <= actual


def test_a_file_that_is_not_in_the_bundle_is_one_sentence(tiny_bundle, capsys):
    assert cli.run(["show", str(tiny_bundle.path), "--format", "executorch"]) != 0
    assert "executorch" in capsys.readouterr().err


def test_control_characters_of_a_file_do_not_reach_the_terminal(tiny_bundle, tmp_path, capsys):
    model = onnx.load(tiny_bundle.file("onnx-fp32"))
    model.graph.name = "a\x1b[31mred\nname"
    model.graph.node[0].name = "\x07"
    target = tmp_path / "b"
    writing.copy_bundle(tiny_bundle.path, target)
    onnx.save(model, target / "model-fp32.onnx")
    structure = formats.get_format("onnx").read_structure(target / "model-fp32.onnx")
    from kit.commands.show import print_file
    from kit.show.model_file import ModelFile

    print_file(ModelFile("a", "b", 1, structure), whole=True)
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "graph a" in text


def test_long_values_are_truncated():
    assert abbreviate("a  b\nc") == "a b c"
    assert len(abbreviate([1] * 1000)) == MAX_VALUE_LETTERS


def test_an_empty_list_of_formats_is_refused(tiny_bundle, capsys):
    assert cli.run(["show", str(tiny_bundle.path), "--format", ","]) == 2
    assert "--format names nothing" in capsys.readouterr().err


def test_an_unexpected_parser_error_is_reported_as_a_damaged_file(tiny_bundle, capsys, monkeypatch):
    def fail(path):
        raise KeyError(0)

    monkeypatch.setattr(formats.get_format("onnx"), "read_structure", fail)
    assert cli.run(["show", str(tiny_bundle.path), "--format", "onnx"]) == 4
    assert "model-fp32.onnx is damaged" in capsys.readouterr().err


def test_a_missing_package_omits_only_its_file(tiny_bundle, capsys, monkeypatch):
    def miss(path):
        raise MissingTool("onnx is not installed", "pip install onnx")

    monkeypatch.setattr(formats.get_format("onnx"), "read_structure", miss)
    assert cli.run(["show", str(tiny_bundle.path)]) == 0
    shown = capsys.readouterr()
    assert "pip install onnx" in shown.err
    assert "lite-fp32: model-fp32.ptl" in shown.out


def test_unknown_sizes_of_an_onnx_file_are_shown_as_unknown(tmp_path):
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    named = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", None, 3])
    unranked = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    graph = onnx.helper.make_graph([node], "g", [named], [unranked])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "a.onnx")
    (shown,) = formats.get_format("onnx").read_structure(tmp_path / "a.onnx").graphs
    assert shown.inputs[0].type == "float32 [batch, ?, 3]"
    assert shown.outputs[0].type == "float32"


def test_a_plain_file_is_recognized_by_its_content(tiny_bundle, tmp_path, capsys):
    for name in ("onnx", "lite"):
        file = tmp_path / f"{name}.bin"
        file.write_bytes(tiny_bundle.file(name).read_bytes())
        assert cli.run(["show", str(file)]) == 0
        assert capsys.readouterr().out.startswith(f"{name}: {name}.bin\n")


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"", 3, "is empty"),
        (b"not a model", 3, "no model file that kit knows"),
        (b"\x08\x0a\xff\xff", 3, "no model file that kit knows"),
        (b"\x00\x00\x00\x00TFL3", 4, "damaged"),
        (b"\x00\x00\x00\x00ET12" + b"\xff" * 64, 4, "damaged"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path, capsys, content, code, words):
    file = tmp_path / "model.bin"
    file.write_bytes(content)
    assert cli.run(["show", str(file)]) == code
    shown = capsys.readouterr()
    assert words in shown.err
    assert str(file) in shown.err
    assert shown.out == ""


def test_every_format_recognizes_its_own_files_only(tiny_bundle):
    files = {name: tiny_bundle.file(name) for name in ("onnx", "lite")}
    for name in formats.list_formats():
        for own, file in files.items():
            assert formats.get_format(name).recognizes(file) == (own == name)
        assert not formats.get_format(name).recognizes(file.with_name("missing"))


def test_formats_cannot_be_selected_for_a_single_file(tiny_bundle, capsys):
    assert cli.run(["show", str(tiny_bundle.file("onnx")), "--format", "onnx"]) == 2
    assert "leave --format out" in capsys.readouterr().err


def test_q_and_dq_nodes_set_encodings_on_both_sides(tmp_path):
    make, tensor = onnx.helper.make_node, onnx.helper.make_tensor
    constants = [
        tensor("s", onnx.TensorProto.FLOAT, [], [0.25]),
        tensor("z", onnx.TensorProto.UINT8, [], [7]),
        tensor("w", onnx.TensorProto.INT8, [2, 1], [1, 2]),
        tensor("ws", onnx.TensorProto.FLOAT, [2], [0.5, 1.0]),
        tensor("wz", onnx.TensorProto.INT8, [2], [0, 0]),
    ]
    nodes = [
        make("QuantizeLinear", ["x", "s", "z"], ["q"]),
        make("DequantizeLinear", ["q", "s", "z"], ["d"]),
        make("DequantizeLinear", ["w", "ws", "wz"], ["dw"], axis=0),
        make("Gemm", ["d", "dw"], ["y"], transB=1),
    ]
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, size])
        for name, size in (("x", 1), ("y", 2))
    ]
    graph = onnx.helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
    file = tmp_path / "a.onnx"
    onnx.save(onnx.helper.make_model(graph), file)
    (shown,) = formats.get_format("onnx").read_structure(file).graphs
    tensors = shown.list_tensors()
    activation = TensorEncoding("uint8", (0.25,), (7,))
    assert [tensors[name].encoding for name in ("x", "q", "d")] == [activation] * 3
    weights = TensorEncoding("int8", (0.5, 1.0), (0, 0))
    assert (tensors["w"].encoding, tensors["dw"].encoding) == (weights, weights)
    assert tensors["w"].type == "int8 [2, 1]"
    assert weights.bits == 8
    assert tensors["y"].encoding is None


def test_an_encoding_is_named_after_the_only_source_with_its_numbers():
    sources = Encodings(
        activations=(
            Encoding(name="a", scales=(0.1,), offsets=(-120,)),
            Encoding(name="b", scales=(0.2,), offsets=(0,)),
            Encoding(name="c", scales=(0.2,), offsets=(0,)),
        ),
        weights=(Encoding(name="a.weight", scales=(0.3, 0.4), offsets=(-128, -128)),),
    )
    actual = {
        "u8": (TensorEncoding("uint8", (0.1,), (120,)), "a"),
        "s8": (TensorEncoding("int8", (0.1,), (-8,)), "a"),
        "two": (TensorEncoding("uint8", (0.2,), (0,)), ""),
        "weight": (TensorEncoding("int8", (0.3, 0.4), (0, 0)), "a.weight"),
        "bias": (TensorEncoding("int32", (0.1,), (120,)), ""),
    }
    tensors = tuple(TensorEntry(name, "", one) for name, (one, _) in actual.items())
    (graph,) = name_sources(ModelStructure({}, (GraphEntry("g", tensors=tensors),)), sources).graphs
    assert {t.name: t.encoding.source for t in graph.tensors} == {
        name: source for name, (_, source) in actual.items()
    }


def test_times_beside_a_bundle_are_shown_per_node(tiny_bundle, measured, tmp_path, capsys):
    results, _ = measured
    result = next(r for r in results if r.bundle.hash == tiny_bundle.hash)
    model = onnx.load(tiny_bundle.file("onnx-fp32"))
    conv = next(node for node in model.graph.node if node.op_type == "Conv")
    operators = (
        Operator(name=f"{conv.output[0]}_nchwc", type="Conv", calls=10, total_ns=750_000),
        Operator(name="other", type="Other", calls=10, total_ns=250_000),
    )
    runs = tuple(run.model_copy(update={"operators": operators}) for run in result.runs)
    target = tmp_path / "work" / "tiny"
    writing.copy_bundle(tiny_bundle.path, target)
    (tmp_path / "work" / "results").mkdir()
    store.write(
        result.model_copy(update={"runs": runs}), tmp_path / "work" / "results" / "latency.json"
    )
    assert cli.run(["show", str(target), "--format", "onnx"]) == 0
    text = capsys.readouterr().out
    (line,) = [line for line in text.splitlines() if " Conv " in line]
    assert line.endswith("75.0 µs, 75.0 %")
    assert "other ×10  25.0 µs a call, 25.0 %" in text
    assert cli.run(["show", str(target), "--json"]) == 0
    text = capsys.readouterr().out
    read_output("show", text)
    (shown,) = [one for one in json.loads(text)["files"].values() if one["times"]]
    first, second = shown["times"]["operators"]
    assert (first["us"], first["share"]) == (75.0, 0.75)
    assert first["node"][0] == shown["graphs"][0]["name"]
    assert second["node"] is None
