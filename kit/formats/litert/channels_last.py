"""LiteRT files with channels-last pictures, as the Task Library and most apps pass them.

kit's inputs are channels first in all formats. A file says which of its inputs are not, and
whatever runs it transposes these before anything is timed.

https://ai.google.dev/edge/litert/libraries/task_library/image_classifier
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kit.errors import BuildError
from kit.formats.interface import Backend
from kit.formats.litert.flatbuffer import Model, add_metadata, find_metadata

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule

_ENTRY = b"kit_channels_last"  # in the file's metadata: a byte for each such input, its number
_RANK = 4  # batch, channels, height, width
_TO_FIRST, _TO_LAST = (0, 3, 1, 2), (0, 2, 3, 1)


class ChannelsLast(Backend):
    """The format's own kernels, without the transposition at the beginning."""

    name = "nhwc"
    summary = "LiteRT with channels-last pictures, as the Task Library passes them"
    flow = "pt2e-s8"
    precisions = (
        *("fp32", "fp16", "int8", "int8-dynamic"),
        *("int8-weights", "int16-activations", "int4-weights"),
    )

    def export(self, model: GraphModule, example: tuple[Tensor, ...], path: Path) -> None:
        """Convert a model with litert-torch.

        Raises:
            BuildError: the model has no input of four dimensions; see also `LiteRt.export`.
        """
        from kit.formats.litert.export import export_model

        export_model(model, example, path, channels_last=True)


def move_channels(graph: GraphModule, example: Sequence[Tensor]) -> tuple[int, ...]:
    """Let a graph take its inputs of four dimensions channels last; return their numbers.

    Args:
        graph: is changed.
        example: the inputs as the graph has them.

    Raises:
        BuildError: there is no such input.
    """
    import torch

    moved = tuple(i for i, value in enumerate(example) if value.ndim == _RANK)
    if not moved:
        raise BuildError(
            "no input of the model has four dimensions, so none is channels last",
            "use --format litert instead of litert/nhwc",
        )
    for node in [node for node in graph.graph.nodes if node.op == "call_module"]:
        graph.graph.erase_node(node)  # a check of the inputs' shapes, which change
    placeholders = [node for node in graph.graph.nodes if node.op == "placeholder"]
    for node in (placeholders[i] for i in moved):
        with graph.graph.inserting_after(node):
            first = graph.graph.call_function(torch.ops.aten.permute.default, (node, _TO_FIRST))
        node.replace_all_uses_with(first, delete_user_cb=lambda user, own=first: user is not own)
    graph.recompile()
    return moved


def transpose_example(
    example: tuple[Tensor, ...], channels_last: Sequence[int]
) -> tuple[Tensor, ...]:
    """Return an example's inputs as the file takes them."""
    return tuple(
        value.permute(_TO_LAST).contiguous() if i in channels_last else value
        for i, value in enumerate(example)
    )


def transpose(value: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return a channels-last copy."""
    return np.ascontiguousarray(value.transpose(_TO_LAST))


def mark_inputs(model: Model, channels_last: Sequence[int]) -> None:
    """Say in a file which of its inputs are channels last."""
    add_metadata(model, _ENTRY, bytes(channels_last))


def list_channels_last(model: Model) -> tuple[int, ...]:
    """Return the numbers of a file's inputs that are channels last."""
    return tuple(find_metadata(model, _ENTRY) or b"")
