"""Which ONNX Runtime reads an ONNX file: opset and IR version."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from kit import formats
from kit.signature import TensorSpec

# Newest opset that each ONNX Runtime reads, from the oldest supported one: docs/onnx.md.
READ_BY_1_15, READ_BY_1_17 = (18, 8), (20, 9)


def export(activation, method: str, path):
    import torch
    from torch import nn

    from kit.algorithms import get_algorithm
    from kit.quantize.examples import as_examples
    from kit.quantize.graph import fold
    from kit.quantize.half import cast_to_half
    from kit.quantize.options import Options

    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(4, 8), activation, nn.Linear(8, 3)).eval()
    samples = torch.from_numpy(np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32))
    algorithm = get_algorithm("none" if method == "fp16" else method)
    graph = algorithm.quantize(
        fold(network, samples), "pt2e-u8", as_examples(samples), Options("per-channel", 1.0)
    ).graph
    if method == "fp16":
        specs = [TensorSpec(name=n, dtype="float32", shape=(1, s)) for n, s in (("x", 4), ("y", 3))]
        graph = cast_to_half(graph, specs[:1], specs[1:])
    formats.get_format("onnx").export(graph, (samples[:1],), path)
    return onnx.load(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "activation", "most"),
    [
        ("none", "GELU", READ_BY_1_17),
        ("fp16", "ReLU", READ_BY_1_15),
        ("static", "ReLU", READ_BY_1_15),
        ("dynamic", "GELU", READ_BY_1_17),
    ],
)
def test_a_file_needs_only_the_runtime_that_its_operators_need(method, activation, most, tmp_path):
    from torch import nn

    path = tmp_path / "model.onnx"
    model = export(getattr(nn, activation)(), method, path)
    (opset,) = [one.version for one in model.opset_import if one.domain in ("", "ai.onnx")]
    assert (opset, model.ir_version) == most
    onnx.checker.check_model(model, full_check=True)
    described = formats.get_format("onnx").describe(path)
    assert described.format_version == f"opset {opset}, IR {model.ir_version}"
    assert described.operators.get("Gelu", 0) == (activation == "GELU")
