"""`kit show`: the structure of model files, read without running them."""

from __future__ import annotations

import json
import zipfile

import onnx
import pytest

from kit import bundle as bundles
from kit import cli, formats
from kit.errors import MissingTool
from kit.formats.structure import MAX_VALUE_LETTERS, abbreviate


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


def test_an_onnx_file_is_listed_as_onnx_itself_reads_it(show, tiny_bundle):
    (shown,) = json.loads(show("--format", "onnx", "--json"))["files"].values()
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


def test_it_says_what_providers_of_phones_would_take(tmp_path):
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


def test_the_code_of_a_lite_file_is_what_its_archive_stores(show, tiny_bundle):
    text = show("--format", "lite")
    with zipfile.ZipFile(tiny_bundle.file("lite-fp32")) as archive:
        (name, *_) = [n for n in archive.namelist() if n.endswith(".py")]
        code = archive.read(name).decode()
    assert f"# {name}" in text
    assert code.strip() in text


@pytest.mark.slow
def test_an_executorch_program_has_instructions_and_delegates(small_int8):
    structure = formats.get_format("executorch").read_structure(small_int8.file("executorch-int8"))
    artifact = small_int8.manifest.artifact("executorch-int8")
    main, *delegates = structure.graphs
    calls = [node for node in main.nodes if node.operator == "executorch_call_delegate"]
    assert len(calls) == artifact.operators["executorch_call_delegate"]
    assert sum(len(graph.nodes) for graph in delegates) == sum(artifact.delegates.values())
    assert {node.name for node in calls} == {graph.name for graph in delegates}


def test_a_file_that_is_not_in_the_bundle_is_one_sentence(tiny_bundle, capsys):
    assert cli.run(["show", str(tiny_bundle.path), "--format", "executorch"]) != 0
    assert "executorch" in capsys.readouterr().err


def test_control_characters_of_a_file_do_not_reach_the_terminal(tiny_bundle, tmp_path, capsys):
    model = onnx.load(tiny_bundle.file("onnx-fp32"))
    model.graph.name = "a\x1b[31mred\nname"
    model.graph.node[0].name = "\x07"
    target = tmp_path / "b"
    bundles.copy(tiny_bundle.path, target)
    onnx.save(model, target / "model-fp32.onnx")
    structure = formats.get_format("onnx").read_structure(target / "model-fp32.onnx")
    from kit.commands.show import print_structure

    print_structure(structure, whole=True)
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "graph a" in text


def test_long_values_are_cut():
    assert abbreviate("a  b\nc") == "a b c"
    assert len(abbreviate([1] * 1000)) == MAX_VALUE_LETTERS


def test_an_empty_list_of_formats_is_refused(tiny_bundle, capsys):
    assert cli.run(["show", str(tiny_bundle.path), "--format", ","]) == 2
    assert "--format names nothing" in capsys.readouterr().err


def test_a_file_that_no_parser_expects_is_damaged_and_no_bug_of_kit(
    tiny_bundle, capsys, monkeypatch
):
    def fail(path):
        raise KeyError(0)

    monkeypatch.setattr(formats.get_format("onnx"), "read_structure", fail)
    assert cli.run(["show", str(tiny_bundle.path), "--format", "onnx"]) == 4
    assert "model-fp32.onnx is damaged" in capsys.readouterr().err


def test_a_missing_package_takes_one_file_out_and_shows_the_others(
    tiny_bundle, capsys, monkeypatch
):
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
