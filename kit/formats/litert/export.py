"""Writing of LiteRT files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kit.error_text import get_first_line
from kit.errors import BuildError
from kit.formats.graph_encodings import GraphEncodings
from kit.formats.half_graph import restore_float
from kit.formats.litert import strict_converter
from kit.formats.litert.channels_last import mark_inputs, move_channels, transpose_example
from kit.formats.litert.dynamic_weights import store_weights, take_weights
from kit.formats.litert.flatbuffer import Model, pack_model, unpack_model
from kit.formats.litert.float_kernels import compute_in_float
from kit.formats.litert.half_weights import store_half
from kit.formats.litert.integer_weights import store_integers
from kit.formats.litert.placed_encodings import check_encodings
from kit.formats.litert.quantized_graph import unfold_constants
from kit.formats.litert.transposed import crop_outputs
from kit.formats.litert.wide_biases import spread_equal_biases, widen_biases
from kit.formats.stored_weights import drop_input_quantizers, list_stored, take_integer_weights

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule


def export_model(
    model: GraphModule, example: tuple[Tensor, ...], path: Path, *, channels_last: bool = False
) -> None:
    """Convert a model, check that its encodings are in the file, and write it.

    Args:
        model: see `kit.formats.interface.Format.export`.
        example: likewise.
        path: of the file.
        channels_last: the file takes its inputs of four dimensions channels last.

    Raises:
        BuildError: LiteRT cannot convert the model, or an encoding finds no place.
        MissingTool: a package of the extra litert is not installed.
    """
    import torch

    strict_converter.import_converter()  # first: it is what may be missing
    restored = restore_float(model)
    try:
        with torch.no_grad():
            # A copy, to be changed.
            graph = torch.export.export(restored or model, example).module()
            moved = move_channels(graph, example) if channels_last else ()
            example = transpose_example(example, moved)
            stored = take_integer_weights(graph)
            if stored:
                drop_input_quantizers(graph)
            dynamic = take_weights(graph)
            encodings = unfold_constants(graph)
            crop_outputs(graph)
            quantized = bool(encodings.activations)
            file = unpack_model(strict_converter.convert(graph, example, quantized=quantized))
    except BuildError:
        raise
    except Exception as exc:  # see `strict_converter.convert`
        raise BuildError(
            f"LiteRT cannot convert {type(model).__name__}: {get_first_line(exc)}",
            "try another --format, or replace the operator that is named",
        ) from exc
    if dynamic:
        store_weights(file, dynamic)
        encodings = GraphEncodings((), dynamic)
    if stored:
        store_integers(file, stored)
        encodings = GraphEncodings((), list_stored(stored))
    check_encodings(file, encodings)
    spread_equal_biases(file)
    widen_biases(file)
    compute_in_float(file)
    if restored is not None:
        store_half(file)
    _name_inputs(file, [str(n.target) for n in graph.graph.nodes if n.op == "placeholder"])
    if moved:
        mark_inputs(file, moved)
    path.write_bytes(pack_model(file))


def _name_inputs(file: Model, names: Sequence[str]) -> None:
    """Name the inputs of the file's signature, and their tensors, as those of ``forward``."""
    (signature,) = file.signatureDefs
    graph = file.subgraphs[signature.subgraphIndex]  # others are bodies of its operators
    named = dict(zip(map(int, graph.inputs), names, strict=True))
    for entry in signature.inputs:
        entry.name = named[entry.tensorIndex].encode()
    for index, name in named.items():
        graph.tensors[index].name = name.encode()
