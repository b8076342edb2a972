"""Everything kit uses of `torch.ao.quantization`, which upstream has deprecated.

The Lite Interpreter runs the quantized modules that only this package makes; when it goes
from torch, this file and the Lite format go. FX graph mode is used instead of eager mode,
so that no model needs a hand-made quantizable twin; the result is the same quantized
modules, run eagerly by the qnnpack engine.

https://docs.pytorch.org/docs/stable/quantization.html
"""

from __future__ import annotations

import copy
import functools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kit.quantize._contract import Options, Quantized
from kit.quantize._observe import calibrate, impose, widen_output
from kit.quantize._observers import (
    WEIGHT_EPS,
    activation_observer,
    observer_words,
    weight_observer,
)

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule


def quantize_static(model: GraphModule, images: Tensor, options: Options) -> Quantized:
    """Quantize with the qnnpack qconfig: quint8 without reduce_range, symmetric qint8."""
    import torch
    from torch.ao.quantization import QConfigMapping
    from torch.ao.quantization.observer import MinMaxObserver
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    qconfig = _qconfig(options)
    mapping = QConfigMapping().set_global(qconfig)
    for name in options.keep_float:
        mapping.set_module_name(name, None)
    with _qnnpack(), torch.inference_mode():
        prepared = prepare_fx(_with_fusable_clips(model), mapping, (images[:1],))
        output = functools.partial(MinMaxObserver, dtype=torch.quint8)
        calibrate(prepared, images, output)
        imposed = impose(prepared, options.ranges)
        widen_output(prepared, options.output_margin)
        graph = convert_fx(prepared)
    return Quantized(graph=graph, qconfig=_words(qconfig, options, imposed), integer=True)


def _qconfig(options: Options) -> Any:
    """Return the qnnpack qconfig with the observers asked for.

    The stock weight observer spreads symmetric weights over 127.5 steps, so that the
    largest weight of each channel is clipped; 127 steps, as XNNPACK has them, clip nothing,
    and are the grid that the corrections of the float model reckon with.
    """
    import torch
    from torch.ao.quantization import QConfig, observer

    activation = activation_observer(options.observer, observer)
    weight, qscheme = weight_observer(options.granularity, observer)
    return QConfig(
        activation=activation.with_args(dtype=torch.quint8, reduce_range=False),
        weight=weight.with_args(
            dtype=torch.qint8, qscheme=qscheme, quant_min=-127, quant_max=127, eps=WEIGHT_EPS
        ),
    )


def _with_fusable_clips(model: GraphModule) -> GraphModule:
    """Return a copy whose convolution + clip pairs, such as ReLU6, are fused like ReLU.

    torch.ao fuses ReLU only. Swapping ReLU6 for ReLU changes the network (5 % of the
    answers of MobileNetV2), so the swapped module still clips while it is observed;
    after conversion the output's range ends at the clip or below, and saturation clips for free.
    """
    from torch import nn
    from torch.nn.functional import hardtanh

    swapped = copy.deepcopy(model)
    modules = dict(swapped.named_modules())
    for node in swapped.graph.nodes:
        clip = modules.get(node.target) if node.op == "call_module" else None
        if not isinstance(clip, nn.Hardtanh) or clip.min_val != 0:  # ReLU6 is a Hardtanh
            continue
        source = node.args[0]
        if source.op != "call_module" or len(source.users) != 1:
            continue
        if isinstance(modules[source.target], nn.Conv2d | nn.Linear):
            relu = nn.ReLU().eval()
            relu.forward = functools.partial(hardtanh, min_val=0.0, max_val=clip.max_val)
            swapped.set_submodule(node.target, relu)
    return swapped


@contextmanager
def _qnnpack() -> Iterator[None]:
    """Pack weights for qnnpack, and keep the deprecation notes away from the user."""
    import torch

    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = "qnnpack"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.backends.quantized.engine = before


def _words(qconfig: Any, options: Options, imposed: int) -> dict[str, str]:
    weight = qconfig.weight()
    return {
        "engine": "qnnpack",
        "activations": f"quint8 per-tensor affine, {observer_words(options.observer, imposed)}",
        "weights": f"qint8 {options.granularity} symmetric, {type(weight).__name__}",
        "output": f"quint8 per-tensor affine, minmax, range x {options.output_margin:g}",
    }
