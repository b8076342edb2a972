"""Small models for the tests of ExecuTorch, and blocks of MobileNetV2 as kit lowers them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kit.algorithms import get_algorithm
from kit.formats.executorch import FORMAT as executorch
from kit.models import get_model

NET = Callable[[Any, Any], Any]


def module(forward: NET, *parts: Any):
    """Return a module in eval mode that calls `forward(parts, x)`."""
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleList(parts)

        def forward(self, x):
            return forward(self.parts, x)

    return Net().eval()


def quantized(model, example):
    """Return the PT2E graph of a model, per-channel int8."""
    import torch
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    config = get_symmetric_quantization_config(is_per_channel=True)
    quantizer = XNNPACKQuantizer().set_global(config)
    # These models have no BatchNorm; the export for the comparison would be slow.
    quantizer.SUPPORTED_PATTERNS = [p for p in quantizer.SUPPORTED_PATTERNS if "_bn" not in p.name]
    prepared = prepare_pt2e(torch.export.export(model, (example,)).module(), quantizer)
    prepared(example)
    return convert_pt2e(prepared)


def mobilenet_v2(method: str, fold: bool = True):
    """Return blocks of MobileNetV2 0.35 at 96 px as kit lowers them, and an example input.

    Blocks without and with an expansion, one with a residual sum: together they contain every
    kind of layer. More blocks would only be slower.

    Args:
        method: the quantization method.
        fold: fold BatchNorm, as kit does.
    """
    import torch
    from torch import nn

    from kit.quantize.graph import fold as folded
    from kit.quantize.options import Options

    torch.manual_seed(0)
    model = get_model("mobilenet_v2").build(0.35, 1000)
    images = torch.randn(2, 3, 96, 96)
    stem, plain, expanded, last = (model.features[at] for at in (0, 1, 3, -1))
    assert expanded.use_res_connect
    width = expanded.conv[-1].num_features
    last[0] = nn.Conv2d(width, last[0].out_channels, 1, bias=False)
    model.features = nn.Sequential(stem, plain, expanded, last)
    if fold:
        options = Options(granularity="per-channel", output_margin=1.0)
        model = (
            get_algorithm(method).quantize(folded(model), executorch.flow, images, options).graph
        )
    return model, images[:1]


def small(name: str):
    """Return a small model with the pattern that one of XNNPACK's optional passes rewrites."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.manual_seed(0)
    flat, square, long = torch.randn(1, 4, 16), torch.randn(1, 4, 8, 8), torch.randn(1, 256)
    conv = nn.Conv2d(4, 4, 3, padding=1)
    other = nn.Conv2d(4, 4, 3)
    conv_1d, bn = nn.Conv1d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
    up = {"scale_factor": 2.0, "mode": "bilinear"}
    if name.startswith("quantized"):
        plain = {
            "quantized conv1d": (lambda p, x: F.relu(p[0](x)), flat, conv_1d),
            "quantized pad and add": (
                lambda p, x: F.relu(p[1](F.pad(p[0](x), (1, 1, 1, 1))) + x),
                square,
                conv,
                other,
            ),
        }[name]
        return quantized(module(plain[0], *plain[2:]), plain[1]), plain[1]
    forward, example, *parts = {
        "prelu": (lambda p, x: p[2](p[1](p[0](x))), square, conv, nn.PReLU(4), nn.PReLU(1)),
        "conv1d": (lambda p, x: F.relu(p[0](x)), flat, conv_1d),
        "batch norm alone": (lambda p, x: p[0](x) + 1, square, bn),
        "conv and batch norm": (lambda p, x: p[1](p[0](x)), square, conv, bn),
        "cat of six": (lambda p, x: torch.cat([x, x + 1, x * 2, x - 3, x * x, x + 4], 1), square),
        "upsample": (lambda p, x: F.interpolate(p[0](x), **up), square, conv),
        "sdpa": (lambda p, x: F.scaled_dot_product_attention(x, x + 1, x * 2), square),
        "relu6": (lambda p, x: F.relu6(p[0](x)), square, conv),
        "max pool": (lambda p, x: F.max_pool2d(p[0](x), 2), square, conv),
        "linear": (lambda p, x: p[0](x), long, nn.Linear(256, 3)),
        "matmul": (lambda p, x: torch.mm(x, p[0].weight.t()) + 1, long, nn.Linear(256, 3)),
        "clone": (lambda p, x: p[0](x).clone() + 1, square, conv),
        "channels last": (
            lambda p, x: p[0](x).to(memory_format=torch.channels_last) + 1,
            square,
            conv,
        ),
        "constant": (lambda p, x: x * torch.ones(4, 1, 1) + torch.arange(8.0), square),
        "not delegated": (lambda p, x: p[1](torch.cumsum(p[0](x), 1)), square, conv, other),
    }[name]
    return module(forward, *parts), example


SMALL = [
    "prelu",
    "conv1d",
    "batch norm alone",
    "conv and batch norm",
    "cat of six",
    "upsample",
    "sdpa",
    "relu6",
    "max pool",
    "linear",
    "matmul",
    "clone",
    "channels last",
    "constant",
    "not delegated",
    "quantized conv1d",
    "quantized pad and add",
]
