"""Clips after quantization, with which ONNX Runtime would compute a convolution in float."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from kit.algorithms import get_algorithm
from kit.formats import get_format
from kit.formats.onnx.integer_clips import move_clips
from kit.quantize.graph import fold
from kit.quantize.options import Options


class Skip(nn.Module):
    """The skip connection of a U-Net: a ReLU's output shares its range with signed values."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.left, self.right = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(3, 8, 3, padding=1)
        self.last = nn.Conv2d(16, 4, 1)

    def forward(self, x):
        return self.last(torch.cat([self.left(x).relu(), self.right(x)], 1)).mean((2, 3))


@pytest.mark.slow
def test_the_convolution_before_a_skip_computes_in_integers(tmp_path):
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    options = Options(granularity="per-channel", output_margin=1.0)
    graph = get_algorithm("static").quantize(fold(Skip(), images), "pt2e-u8", images, options).graph
    format_, file = get_format("onnx"), tmp_path / "net.onnx"
    format_.export(graph, (images[:1],), file)
    described = format_.describe(file)
    assert described.operators["Clip"] == 1
    assert "Relu" not in described.operators
    assert not {"Conv", "FusedConv", "Clip"} & described.computed_in_float.keys()
    exact = format_.load_float(file, 1)
    answer = exact.read(exact.bind((images[:1].numpy(),))())[0]
    with torch.no_grad():
        assert np.allclose(answer, graph(images[:1]).numpy(), atol=1e-5)


def make_clipped(kind: str, zero: int, bounds: tuple[float, float] = (0.0, 6.0), reads: int = 1):
    """A convolution, a clip, and quantization with a scale of 1/16."""
    values = {
        "w": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3, 1, 1),
        "low": np.array(bounds[0], np.float32),
        "high": np.array(bounds[1], np.float32),
        "scale": np.array(1 / 16, np.float32),
        "zero": np.array(zero, np.uint8),
    }
    clip = ["y", "low", "high"] if kind == "Clip" else ["y"]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["y"]),
        helper.make_node(kind, clip, ["z"]),
        helper.make_node("QuantizeLinear", ["z", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["out"]),
    ]
    nodes += [helper.make_node("Neg", ["z"], ["other"])] * (reads - 1)
    shape = (1, 2, 8, 8)
    graph = helper.make_graph(
        nodes,
        "clipped",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 8, 8))],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def run(model, path):
    onnx.save(model, path)
    session = get_format("onnx").load(path, 1)
    x = np.random.default_rng(0).uniform(-12, 12, (1, 3, 8, 8)).astype(np.float32)
    return session.read(session.bind((x,))())[0]


@pytest.mark.parametrize("kind", ["Relu", "Clip"])
@pytest.mark.parametrize("zero", [100, 200, 255])
def test_moved_clips_keep_answers_bit_for_bit(kind, zero, tmp_path):
    model = make_clipped(kind, zero)
    before = run(model, tmp_path / "before.onnx")
    move_clips(model.graph)
    onnx.checker.check_model(model)
    assert [node.op_type for node in model.graph.node][1:3] == ["QuantizeLinear", "Clip"]
    assert (run(model, tmp_path / "after.onnx") == before).all()
    assert before.min() == 0


@pytest.mark.parametrize(
    "left_alone",
    [
        make_clipped("Relu", 0),  # saturation is the ReLU
        make_clipped("Clip", 0, (0.0, 16.0)),  # and this clip
        make_clipped("Relu", 100, reads=2),  # something else reads the values
    ],
)
def test_harmless_clips_and_clips_with_other_readers_stay(left_alone):
    before = left_alone.SerializeToString()
    move_clips(left_alone.graph)
    assert left_alone.SerializeToString() == before
