"""Transposed convolutions in LiteRT files, whose paddings its converter knows only in part."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import kit
from kit.formats import get_format

pytest.importorskip("litert_torch", reason="the extra litert is not installed")

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "added", "groups"),
    [
        (3, 2, 1, 1, 1),  # what doubles the sides in most decoders
        (5, 1, 2, 0, 2),
        ((5, 3), 2, (2, 1), (0, 1), 1),
        (4, 2, 1, 0, 1),  # LiteRT's own SAME
    ],
)
def test_every_padding_computes_what_torch_does(
    kernel, stride, padding, added, groups, tmp_path
) -> None:
    torch.manual_seed(0)
    layer = nn.ConvTranspose2d(4, 6, kernel, stride, padding, added, groups=groups)
    model = torch.fx.symbolic_trace(nn.Sequential(layer).eval())
    value = torch.randn(1, 4, 8, 6)
    get_format("litert").export(model, (value,), tmp_path / "m.tflite")
    (answer,) = run(tmp_path / "m.tflite", value.numpy())
    assert np.abs(answer - model(value).detach().numpy()).max() < 1e-5


def run(path, value):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], value)
    interpreter.invoke()
    return [interpreter.get_tensor(one["index"]) for one in interpreter.get_output_details()]


NETWORK = """
from torch import nn


def make():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.ConvTranspose2d(8, 5, 3, 2, 1, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )
"""


def test_a_decoder_is_built_in_float_and_int8(tmp_path) -> None:
    (tmp_path / "net.py").write_text(NETWORK)
    recipe = kit.make_recipe(
        f"{tmp_path}/net.py:make", weights="random", resolution=32, formats=("litert",),
        precisions=("fp32", "int8"),
    )  # fmt: skip
    bundle = kit.build(recipe, tmp_path / "b", use_cache=False)
    assert [artifact.name for artifact in bundle.manifest.artifacts] == [
        "litert-fp32",
        "litert-int8",
    ]
    for artifact in bundle.manifest.artifacts:
        (graph,) = [c for c in artifact.parity if c.against == "quantized graph"] or artifact.parity
        assert graph.sqnr_db is None or graph.sqnr_db > 30
