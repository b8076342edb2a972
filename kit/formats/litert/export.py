"""Writing of LiteRT files with litert-torch's converter."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.errors import BuildError, KitError, first_line
from kit.formats.litert.boundary import make_boundary_float, name_inputs
from kit.formats.litert.flatbuffer import pack_model, unpack_model
from kit.formats.litert.packages import import_package
from kit.formats.litert.placed_encodings import check_encodings
from kit.formats.litert.quantized_graph import unfold_constants

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule


def export_model(model: GraphModule, example: tuple[Tensor, ...], path: Path) -> None:
    """Convert a model and write the file.

    Raises:
        BuildError: LiteRT cannot convert the model, or does not take its encodings.
        MissingTool: a package of the extra litert is not installed.
    """
    import torch

    with _quiet():
        litert_torch = import_package("litert_torch", "litert-torch")
        litert_torch.config.show_progress = False
    try:
        with _quiet(), torch.no_grad():
            # A copy with operators of torch.export only: weights are changed in it.
            graph = torch.export.export(model, example).module()
            encodings = unfold_constants(graph)
            config = _make_static_config() if encodings.activations else None
            # 64-bit inputs and outputs stay what the signature says.
            converted = litert_torch.convert(graph, example, quant_config=config, enable_x64=True)
            file = unpack_model(converted.model_content())
    except KitError:
        raise
    except Exception as exc:  # the converter raises errors of MLIR, of jax and of its own
        raise BuildError(
            f"LiteRT cannot convert {type(model).__name__}: {first_line(exc)}",
            "try another --format, or replace the operator that is named",
        ) from exc
    make_boundary_float(file)
    names = [str(node.target) for node in model.graph.nodes if node.op == "placeholder"]
    name_inputs(file, names)
    check_encodings(file, encodings)
    path.write_bytes(pack_model(file))


def _make_static_config() -> Any:
    """Return the configuration that makes the converter fuse Q/DQ pairs into int8 operators.

    Only its mode is used: the quantizer in it does not see the graph.
    """
    pt2e = import_package("litert_torch.quantize.pt2e_quantizer", "litert-torch")
    config = import_package("litert_torch.quantize.quant_config", "litert-torch")
    quantizer = pt2e.PT2EQuantizer().set_global(pt2e.get_symmetric_quantization_config())
    return config.QuantConfig(pt2e_quantizer=quantizer)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the converter's logs and warnings, which are about itself, off the screen."""
    import warnings

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
