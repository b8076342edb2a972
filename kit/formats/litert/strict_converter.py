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

from kit.formats.extra_packages import quiet
from kit.formats.litert.packages import import_package

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule

_TORCH = "litert-torch"
ConverterObject = Any  # litert-torch has no types
_LOCK = threading.Lock()  # the configuration is replaced for the whole process


def import_converter() -> ConverterObject:
    """Return `litert_torch`, which then prints no progress.

    Raises:
        MissingTool: it is not installed.
    """
    with quiet():
        package = import_package("litert_torch", _TORCH)
    package.config.show_progress = False
    return package


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
    with quiet(), _strict():
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
