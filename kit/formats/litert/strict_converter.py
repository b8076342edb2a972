"""Convert with litert-torch so that it quantizes exactly what a graph quantizes.

Two modes of its converter are combined. ``STATIC`` fuses Q/DQ pairs into int8 operators; alone it
also quantizes float layers between int8 ones, drops a conversion between two encodings, and makes
inputs and outputs int8. ``strict_qdq_mode`` leaves all of these as the graph has them, but the
public function of litert-torch 0.10.0 cannot set it. So the class of its configuration is replaced
while it runs. This goes when `litert_torch.convert` has the option.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kit.formats.extra_packages import silence_converters
from kit.formats.litert.packages import import_package

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule, Node

_TORCH = "litert-torch"
_LAYOUT = "litert_torch._convert.fx_passes.optimize_layout_transposes_pass"
ConverterObject = Any  # litert-torch has no types
_LOCK = threading.Lock()  # the configuration is replaced for the whole process


def import_converter() -> ConverterObject:
    """Return `litert_torch`, which then prints no progress.

    Raises:
        MissingTool: it is not installed.
    """
    with silence_converters():
        package = import_package("litert_torch", _TORCH)
        _register_padding()
    package.config.show_progress = False
    return package


def _register_padding() -> None:
    """Let the converter pad channels-last tensors; it would pad between two transposes.

    Not where padding changes the encoding: channels last, the converter then drops the first of
    the two.
    """
    import torch

    layout_check: ConverterObject = import_package(f"{_LAYOUT}.layout_check", _TORCH)
    rewriters: ConverterObject = import_package(f"{_LAYOUT}.layout_rewrite", _TORCH).rewriters
    checkers = layout_check.nhwcable_node_checkers

    def check(node: Node) -> ConverterObject:
        if _keeps_encoding(node):
            return checkers.__missing__(node.target)(node)
        return layout_check.NHWCable(can_be=False, must_be=False)

    for operator in (torch.ops.aten.constant_pad_nd, torch.ops.aten.pad):
        rewriters.register(operator)(_pad_channels_last)
        checkers.register(operator)(check)


def _keeps_encoding(node: Node) -> bool:
    """Whether a node's input and output have the same scale and zero point, or none."""
    near = [*node.all_input_nodes, *node.users]
    return len({one.args[1:3] for one in near if "quantize_per_tensor" in str(one.target)}) <= 1


def _pad_channels_last(node: Node) -> None:
    """Reorder what a node adds to its picture: pairs of sizes, from the last dimension on."""
    source, sizes, *others = node.args
    assert isinstance(sizes, list | tuple)
    width, height, channels, batch = ([*sizes, *[0] * 8][i : i + 2] for i in range(0, 8, 2))
    node.args = (source, [*channels, *width, *height, *batch], *others)


def convert(graph: GraphModule, example: tuple[Tensor, ...], *, quantized: bool) -> bytes:
    """Return the file of a graph.

    Args:
        graph: of `torch.export`.
        example: one inference's inputs.
        quantized: whether it has Q/DQ pairs.

    Raises:
        MissingTool: litert-torch is not installed.
        Exception: of any class, because the converter raises those of MLIR, of jax and of its own.
    """
    package = import_converter()
    mode = _make_static_config() if quantized else None
    with silence_converters(), _strict():
        # Else 64-bit inputs and outputs would become 32-bit ones, unlike the signature's.
        converted = package.convert(graph, example, quant_config=mode, enable_x64=True)
        content: bytes = converted.model_content()
    return content


def _make_static_config() -> ConverterObject:
    """Return the configuration for the mode ``STATIC``; its quantizer does not see the graph."""
    pt2e = import_package("litert_torch.quantize.pt2e_quantizer", _TORCH)
    config = import_package("litert_torch.quantize.quant_config", _TORCH)
    quantizer = pt2e.PT2EQuantizer().set_global(pt2e.get_symmetric_quantization_config())
    return config.QuantConfig(pt2e_quantizer=quantizer)


class _StrictApi:
    """The converter's extension module, with another default in its configuration."""

    def __init__(self, api: ConverterObject) -> None:
        self._api = api

    def __getattr__(self, name: str) -> ConverterObject:
        return getattr(self._api, name)

    def ConvertToTFLConfig(self) -> ConverterObject:  # noqa: N802 - a class of the extension
        config = self._api.ConvertToTFLConfig()
        config.strict_qdq_mode = True
        return config


@contextmanager
def _strict() -> Iterator[None]:
    module: ConverterObject = import_package("litert_torch._convert.litert_converter", _TORCH)
    with _LOCK:
        api = module.converter_api_ext
        module.converter_api_ext = _StrictApi(api)
        try:
            yield
        finally:
            module.converter_api_ext = api
