"""ONNX Runtime's own format, `onnx/ort`: converted, read, and run by Python and natively."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace

import native_samples
import numpy as np
import onnx
import pytest
from bundle_samples import SMALL_NET
from onnx import TensorProto, helper
from onnxruntime.tools import convert_onnx_models_to_ort as converter

import kit
from kit import formats
from kit.artifact_key import ArtifactKey
from kit.bench import measure
from kit.errors import BuildError, BundleError, RunError
from kit.formats.onnx import ort_format, ort_structure, saturation
from kit.results.latency import Plan

pytestmark = pytest.mark.slow
KEY = ArtifactKey("onnx", "int8", "ort")
PLAN = Plan(name="custom", repeats=1, runs=3, warmup_runs=1, warmup_seconds=0, seconds=0)
ONNX = formats.get_format("onnx")


@pytest.fixture(scope="module")
def built(lowered_here, tmp_path_factory):
    """Return an int8 bundle of an untrained network, in both of ONNX Runtime's formats."""
    if saturation.saturates():
        pytest.skip("ONNX Runtime's int8 kernels saturate on this processor")
    recipe = kit.make_recipe(
        SMALL_NET,
        resolution=32,
        formats=("onnx", "onnx/ort"),
        observer="percentile",
        corrections="none",
    )
    return kit.build(recipe, tmp_path_factory.mktemp("ort") / "bundle", use_cache=False)


def test_answers_equal_the_onnx_files_in_python_and_natively(built):
    assert built.manifest.artifact(KEY.name).file == "model-ort-int8.ort"
    answers = [
        np.load(built.path / built.manifest.golden.outputs[name][0])
        for name in ("onnx-int8", KEY.name)
    ]
    np.testing.assert_array_equal(*answers)
    native_samples.runner("onnx")
    (result,) = measure.measure_all([built], plan=PLAN, runner="native")
    assert {run.backend: run.golden_max_abs for run in result.runs} == {None: 0.0, "ort": 0.0}


def test_structure_and_operators_of_a_file(built, tmp_path):
    path = built.file(KEY.name)
    artifact = built.manifest.artifact(KEY.name)
    assert artifact.format_version == "ORT format 6"
    assert artifact.operators["com.microsoft.QLinearConv"] == 3
    assert ONNX.recognizes(path)
    assert ONNX.load_float(path, 1) is None
    structure = ONNX.read_structure(path)
    (graph,) = structure.graphs
    known = {entry.name for entry in graph.inputs}
    made = {name for node in graph.nodes for name in node.outputs}
    for node in graph.nodes:  # in an order that can be computed
        assert not set(node.inputs) & made - known, node
        known |= set(node.outputs)
    assert {entry.name for entry in graph.outputs} <= known
    # The converter's list for a reduced build of ONNX Runtime.
    shutil.copy(built.file("onnx-int8"), tmp_path / "model.onnx")
    converter.convert_onnx_models_to_ort(
        tmp_path / "model.onnx",
        optimization_styles=[converter.OptimizationStyle.Fixed],
        target_platform="arm",
    )
    (config,) = tmp_path.glob("*.config")
    lines = [line for line in config.read_text().split("\n") if line and line[0] != "#"]
    assert structure.metadata["required operators"].split() == lines


def test_a_damaged_file_is_refused_in_one_sentence(built, tmp_path):
    content = built.file(KEY.name).read_bytes()
    path = tmp_path / "model.ort"
    for damaged in (content[:40], content[:8] + b"\xff" * (len(content) - 8)):
        path.write_bytes(damaged)
        for use in (ONNX.describe, ONNX.read_structure, lambda path: ONNX.load(path, 1)):
            with pytest.raises(BundleError) as caught:
                use(path)
            assert str(path) in caught.value.message
            assert "\n" not in caught.value.message
    with pytest.raises(BuildError, match="cannot convert the model to its own format"):
        (tmp_path / "model.onnx").write_bytes(b"no model")
        ort_format.convert_file(tmp_path / "model.onnx", path)


def test_a_processor_whose_kernels_saturate_refuses_int8_only(built, tmp_path, monkeypatch):
    monkeypatch.setattr(saturation, "saturates", lambda: True)
    with pytest.raises(RunError, match="whose int8 kernels saturate"):
        ONNX.load(built.file(KEY.name), 1)
    assert not ort_structure.is_quantized(built.file("onnx-int8"))


@pytest.mark.parametrize(
    ("processor", "key", "refuses"),
    [("haswell", KEY.name, True), ("haswell", "onnx-int8", False), ("nehalem", KEY.name, False)],
)
def test_so_does_the_native_runner(processor, key, refuses, built, tmp_path):
    """Regression: it computed saturated sums, without an error."""
    (tmp_path / "in").mkdir()
    given = native_samples.request(tmp_path / "in", "onnx", built.file(key))
    np.zeros((1, 3, 32, 32), np.float32).tofile(given.input)
    given = replace(given, inputs="float32:1,3,32,32", warmup=1, iters=1)
    command = native_samples.emulated(tmp_path, processor)
    if refuses:
        with pytest.raises(RunError, match="whose int8 kernels saturate"):
            native_samples.run(native_samples.runner("onnx"), given, command)
    else:
        native_samples.run(native_samples.runner("onnx"), given, command)


OPEN = """
import sys
from pathlib import Path
from kit.formats.onnx import saturation, session
saturation.saturates = lambda: True
session.load_session(Path(sys.argv[1]), 1)
assert "torch" not in sys.modules
"""


def test_opening_a_file_imports_no_torch(tmp_path):
    """The import would count as load time and memory of the file."""
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "net", value[:1], value[1:])
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "m.onnx")
    ort_format.convert_file(tmp_path / "m.onnx", tmp_path / "m.ort")
    subprocess.run([sys.executable, "-c", OPEN, tmp_path / "m.ort"], check=True)
