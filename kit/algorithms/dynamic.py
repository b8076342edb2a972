"""Dynamic quantization: int8 weights of Linear, LSTM and GRU, ranges taken from each input.

For models whose time goes into such layers. A MobileNet has one, its classifier, so that
files shrink by its weights and answers hardly change.

https://docs.pytorch.org/docs/stable/quantization.html#post-training-dynamic-quantization
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.algorithms.interface import Algorithm
from kit.errors import BuildError
from kit.quantize import wording
from kit.quantize.options import Options, Quantized

if TYPE_CHECKING:
    from torch.fx import GraphModule

    from kit.formats.properties import Flow
    from kit.quantize.examples import ExamplesLike


def describe_qconfig(flow: Flow, options: Options) -> dict[str, str]:
    """Return the quantizer's configuration, in words."""
    return wording.describe_dynamic(flow, options)


def quantize(model: GraphModule, flow: Flow, examples: ExamplesLike, options: Options) -> Quantized:
    """Quantize the layers that have a dynamic kernel.

    Raises:
        BuildError: there is none, so that nothing would change.
    """
    from kit.quantize.embeddings import quantize_embeddings

    _require_layers(model)
    model, _ = quantize_embeddings(model)
    if flow == "torch-ao":
        from kit.quantize import torch_ao

        return torch_ao.quantize_dynamic(model, examples, options)
    if flow == "pt2e-u8":
        return _by_the_runtime(model, options)
    from kit.quantize import pt2e

    return pt2e.quantize_dynamic(model, examples, options)


def _require_layers(model: GraphModule) -> None:
    from torch import nn

    if not any(isinstance(m, nn.Linear | nn.LSTM | nn.GRU) for m in model.modules()):
        raise BuildError(
            "dynamic quantization would change nothing: the model has no Linear, LSTM or GRU layer",
            "use --quantize static, which quantizes convolutions too",
        )


def _by_the_runtime(model: GraphModule, options: Options) -> Quantized:
    """Leave it to ONNX Runtime's own tool: torch's exporter has no operators for it."""
    from kit.formats.deferred import DeferredDynamic, defer_dynamic

    defer_dynamic(model, DeferredDynamic(per_channel=options.granularity == "per-channel"))
    return Quantized(graph=model, qconfig=describe_qconfig("pt2e-u8", options), integer=True)


ALGORITHM = Algorithm(
    "dynamic",
    summary="int8 weights of Linear, LSTM and GRU, ranges from each input",
    calibrates=False,
    describe=describe_qconfig,
    quantize=quantize,
    aliases=("drq", "dynamic-range"),
)
