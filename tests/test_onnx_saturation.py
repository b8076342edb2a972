"""ONNX files compute the same on x86 processors whose int8 kernels saturate."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from bundle_samples import answer_images
from native_samples import pictures
from onnx import TensorProto, helper, numpy_helper

from kit import formats
from kit.errors import BundleError, MissingTool
from kit.formats.onnx import saturation
from kit.runners import emulation


def emulated_python(model: str, code: str, *arguments: object) -> str:
    """Run kit's code on an emulated x86 processor."""
    try:
        program = emulation.find_emulator("x86_64").program
    except MissingTool as exc:
        pytest.skip(exc.message)
    words = [program, "-cpu", model, sys.executable, "-c", code, *map(str, arguments)]
    root = Path(__file__).parents[1]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.slow
@pytest.mark.parametrize(("model", "answer"), [("Haswell", "True"), ("SandyBridge", "False")])
def test_saturation_is_detected_by_running_a_kernel(model, answer):
    """AVX2 without VNNI saturates, older kernels do not."""
    code = "from kit.formats.onnx import saturation as s; print(s.saturates())"
    assert emulated_python(model, code) == answer


ANSWER = """
import sys
from pathlib import Path
import numpy as np
from kit.formats.onnx import FORMAT as onnx
from kit.formats.interface import predict
from kit.signature import stack
session = onnx.load(Path(sys.argv[1]), 1)
answers = predict(session, stack('image', np.load(sys.argv[2])))
np.save(sys.argv[3], answers.arrays[0])
"""


@pytest.fixture(scope="module")
def quantized(native_model) -> Path:
    return native_model("onnx", "static")


@pytest.mark.slow
def test_a_quantized_file_gives_the_same_answers_without_vnni(quantized, tmp_path):
    images = pictures(2)
    np.save(tmp_path / "in.npy", images)
    emulated_python("Haswell", ANSWER, quantized, tmp_path / "in.npy", tmp_path / "out.npy")
    here = answer_images(formats.get_format("onnx").load(quantized, 1), images)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), here)


@pytest.mark.slow
def test_each_node_has_its_own_parameters(quantized):
    model = onnx.load(quantized)
    names = Counter(
        name
        for node in model.graph.node
        if node.op_type in ("QuantizeLinear", "DequantizeLinear")
        for name in node.input[1:3]
    )
    assert len(names) > 50
    assert set(names.values()) == {1}
    onnx.checker.check_model(model)


def shared() -> onnx.ModelProto:
    """A graph with two pairs of nodes that share scale and zero point, as exporters write."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["a"], name="q"),
        helper.make_node("DequantizeLinear", ["a", "s", "z"], ["b"], name="d"),
        helper.make_node("DequantizeLinear", ["a", "s", "z"], ["c"]),
        helper.make_node("Add", ["b", "c"], ["y"]),
    ]
    parameters = [
        numpy_helper.from_array(np.float32(0.25), "s"),
        numpy_helper.from_array(np.uint8(3), "z"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], parameters)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_shared_parameters_are_copied_with_equal_answers():
    import onnxruntime as ort

    model, changed = shared(), shared()
    saturation.separate_parameters(changed.graph)
    onnx.checker.check_model(changed)
    assert len(changed.graph.initializer) == 6
    assert len({tensor.name for tensor in changed.graph.initializer}) == 6
    feed = {"x": np.array([0.3, 9.0], np.float32)}
    answers = [
        ort.InferenceSession(m.SerializeToString(), providers=["CPUExecutionProvider"]).run(
            None, feed
        )
        for m in (model, changed)
    ]
    np.testing.assert_array_equal(*answers)


def test_computed_parameters_are_unchanged():
    model = shared()
    del model.graph.initializer[:]
    before = model.SerializeToString()
    saturation.separate_parameters(model.graph)
    assert model.SerializeToString() == before


@pytest.mark.slow
def test_a_file_of_an_older_kit_is_refused_where_kernels_saturate(quantized, tmp_path):
    """Its nodes share parameters, so ONNX Runtime cannot use exact kernels."""
    model = onnx.load(quantized)
    first: dict[tuple[str, bytes], str] = {}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and len(node.input) > 2:
            tensor = next(t for t in model.graph.initializer if t.name == node.input[2])
            content = (str(tensor.data_type), numpy_helper.to_array(tensor).tobytes())
            node.input[2] = first.setdefault(content, node.input[2])
    assert len(first) < len(model.graph.initializer) / 4
    onnx.save(model, tmp_path / "old.onnx")
    code = (
        "import sys; from pathlib import Path; from kit.formats.onnx import FORMAT as onnx\n"
        "from kit.errors import BundleError\n"
        "try: onnx.load(Path(sys.argv[1]), 1)\n"
        "except BundleError as exc: print(exc.message)"
    )
    message = emulated_python("Haswell", code, tmp_path / "old.onnx")
    assert "cannot be run exactly on this processor, whose int8 kernels saturate" in message
    if not saturation.saturates():
        formats.get_format("onnx").load(tmp_path / "old.onnx", 1)  # here it is right
    else:
        with pytest.raises(BundleError, match="saturate"):
            formats.get_format("onnx").load(tmp_path / "old.onnx", 1)
