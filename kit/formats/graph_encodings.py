"""Encodings of a Q/DQ graph, and whether a converted file holds exactly these.

For formats whose converter writes the encodings itself: what it wrote is read from the file and
compared with the graph here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import BuildError

if TYPE_CHECKING:
    from torch.fx import GraphModule, Node

_HINT = "leave the format out with --format, and please report it"
FloatType = type[np.float16] | type[np.float32]
NodeArgument = Any  # a node, a constant, or a member of a graph by its name


@dataclass(frozen=True)
class ActivationEncoding:
    """Scale and zero point, of int8 values, of a tensor that is computed."""

    name: str
    scale: np.float32
    zero_point: int


@dataclass(frozen=True)
class ConstantEncoding:
    """Int8 values of a constant, and the scales of one or of all its channels."""

    name: str
    values: NDArray[np.int8]
    scales: NDArray[np.float32]


@dataclass(frozen=True)
class GraphEncodings:
    """All encodings of a Q/DQ graph; both empty for a float graph."""

    activations: tuple[ActivationEncoding, ...]
    constants: tuple[ConstantEncoding, ...]


@dataclass(frozen=True)
class FileEncodings:
    """Encodings that are in a file.

    Attributes:
        activations: by scale and zero point, of int8 values, the name of a tensor with them.
        constants: int8 values, and their scales.
    """

    activations: Mapping[tuple[float, int], str]
    constants: Sequence[tuple[NDArray[np.int8], NDArray[np.float32]]]


def list_encodings(graph: GraphModule) -> GraphEncodings:
    """Return the encodings of a graph; of equal ones of activations, the first."""
    activations: dict[tuple[float, int], ActivationEncoding] = {}
    for node in _list_quantizers(graph):
        scale, zero = np.float32(node.args[1]), int(node.args[2])
        name = name_tensor(node.args[0])
        activations.setdefault((float(scale), zero), ActivationEncoding(name, scale, zero))
    constants = (read_constant(graph, node) for node in list_constants(graph))
    return GraphEncodings(tuple(activations.values()), tuple(constants))


def _list_quantizers(graph: GraphModule) -> Iterator[NodeArgument]:
    """Yield the nodes that quantize what is computed; types of their arguments are unknown."""
    import torch

    quantize = torch.ops.quantized_decomposed.quantize_per_tensor.default
    yield from (node for node in graph.graph.nodes if node.target is quantize)


def list_constants(graph: GraphModule) -> list[Node]:
    """Return the nodes that dequantize int8 constants."""
    import torch

    decomposed = torch.ops.quantized_decomposed
    targets = (
        decomposed.dequantize_per_channel.default,
        decomposed.dequantize_per_tensor.default,
    )
    return [
        node
        for node in graph.graph.nodes
        if node.target in targets and node.args[0].op == "get_attr"
    ]


def read_constant(graph: GraphModule, node: Node) -> ConstantEncoding:
    """Return the values and scales of an int8 constant by the node that dequantizes it."""
    stored, scale = (read_argument(graph, value) for value in node.args[:2])
    users = ", ".join(name_tensor(user) for user in node.users)
    scales = np.atleast_1d(np.asarray(scale, np.float32))
    # Constants of PT2E have no names of their own.
    return ConstantEncoding(f"the constant of {users}", stored.numpy(), scales)


def read_argument(graph: GraphModule, value: NodeArgument) -> NodeArgument:
    """Return an argument of a node, a constant's value for the constant."""
    if getattr(value, "op", None) != "get_attr":
        return value
    member: NodeArgument = graph
    for part in str(value.target).split("."):
        member = getattr(member, part)
    return member


def name_tensor(node: Node) -> str:
    """Return the name that a node's output has in the folded model, or in the graph."""
    return str(node.meta.get("custom", {}).get("tensor") or node.name)


def check_static(graph: GraphModule, format_name: str, word: str) -> None:
    """Raise if activations are quantized with scales that are computed at run time.

    Args:
        graph: to check.
        format_name: as in ``--format``.
        word: for the format, in messages.

    Raises:
        BuildError: they are.
    """
    if any("choose_qparams" in str(node.target) for node in graph.graph.nodes):
        raise BuildError(
            f"kit writes no {word} files that are quantized dynamically",
            f"use --quantize static, or leave out the format {format_name}",
        )


def check_placed(
    in_file: FileEncodings,
    encodings: GraphEncodings,
    word: str,
    dtypes: Sequence[FloatType] = (np.float32,),
) -> None:
    """Compare the encodings of a file with those of its graph.

    Args:
        in_file: encodings in the file.
        encodings: of the graph.
        word: for the format, in messages.
        dtypes: in which the file may store a scale: it is then the graph's, rounded to one.

    Raises:
        BuildError: an encoding finds no place, or the converter chose one of its own.
    """
    expected: set[tuple[float, int]] = set()
    for one in encodings.activations:
        keys = {(float(dtype(one.scale)), one.zero_point) for dtype in dtypes}
        if not keys & in_file.activations.keys():
            raise BuildError(
                f"the encoding of {one.name} (scale {one.scale:g}, zero point {one.zero_point}) "
                f"finds no place in the {word} file",
                _HINT,
            )
        expected |= keys
    for key, name in in_file.activations.items():
        if key not in expected:
            raise BuildError(
                f"{word}'s converter gives {name} an encoding of its own (scale {key[0]:g}, zero "
                f"point {key[1]})",
                _HINT,
            )
    for constant in encodings.constants:
        if not any(_is_stored(constant, *stored, dtypes) for stored in in_file.constants):
            raise BuildError(f"{constant.name} is not in the {word} file as it was made", _HINT)
    for values, scales in in_file.constants:
        known = (_is_stored(c, values, scales, dtypes) for c in encodings.constants)
        if values.size > 1 and not any(known):
            raise BuildError(
                f"{word}'s converter quantizes a constant of shape {list(values.shape)} that the "
                "graph has in float",
                _HINT,
            )


def _is_stored(
    expected: ConstantEncoding,
    values: NDArray[np.int8],
    scales: NDArray[np.float32],
    dtypes: Sequence[FloatType],
) -> bool:
    """Whether a constant of a file is the expected one, in whatever order of its dimensions."""
    rounded = (expected.scales.astype(dtype).astype(np.float32) for dtype in dtypes)
    if values.size != expected.values.size or not any(
        np.array_equal(scales, one) for one in rounded
    ):
        return False
    ours, theirs = expected.values.squeeze(), values.squeeze()
    return any(
        np.array_equal(ours.transpose(order), theirs)
        for order in itertools.permutations(range(ours.ndim))
        if ours.transpose(order).shape == theirs.shape
    )
