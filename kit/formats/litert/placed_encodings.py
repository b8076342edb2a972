"""Check that a LiteRT file holds exactly the encodings of the graph that it was made of."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from kit.errors import BuildError
from kit.formats.litert.flatbuffer import Model, name_type, read_constant, read_encoding
from kit.formats.litert.quantized_graph import ConstantEncoding, GraphEncodings

_HINT = "leave the format out with --format, and please report it"
_Constant = tuple[NDArray[np.int8], NDArray[np.float32]]


def check_encodings(model: Model, encodings: GraphEncodings) -> None:
    """Compare a file with the encodings of its graph.

    Raises:
        BuildError: an encoding finds no place, or the converter chose one of its own.
    """
    placed, constants = _read_encodings(model)
    expected = {(float(one.scale), one.zero_point): one for one in encodings.activations}
    for key, one in expected.items():
        if key not in placed:
            raise BuildError(
                f"the encoding of {one.name} (scale {one.scale:g}, zero point {one.zero_point}) "
                "finds no place in the LiteRT file",
                _HINT,
            )
    for key, name in placed.items():
        if key not in expected:
            raise BuildError(
                f"LiteRT's converter gives {name} an encoding of its own (scale {key[0]:g}, zero "
                f"point {key[1]})",
                _HINT,
            )
    for constant in encodings.constants:
        if not any(_is_stored(constant, *stored) for stored in constants):
            raise BuildError(f"{constant.name} is not in the LiteRT file as it was made", _HINT)
    for values, scales in constants:
        if values.size > 1 and not any(_is_stored(c, values, scales) for c in encodings.constants):
            raise BuildError(
                f"LiteRT's converter quantizes a constant of shape {list(values.shape)} that the "
                "graph has in float",
                _HINT,
            )


def _read_encodings(model: Model) -> tuple[dict[tuple[float, int], str], list[_Constant]]:
    """Return the encodings of int8 tensors that are computed, and the int8 constants."""
    activations: dict[tuple[float, int], str] = {}
    constants: list[_Constant] = []
    for subgraph in model.subgraphs:
        for tensor in subgraph.tensors:
            encoding = read_encoding(tensor)
            if encoding is None or name_type(tensor) != "INT8":
                continue
            scales, zeros = encoding
            values = read_constant(model, tensor)
            if values is not None:
                constants.append((values, scales))
            else:
                activations[float(scales[0]), int(zeros[0])] = tensor.name.decode()
    return activations, constants


def _is_stored(
    expected: ConstantEncoding, values: NDArray[np.int8], scales: NDArray[np.float32]
) -> bool:
    """Whether a constant of a file is the expected one, in whatever order of its dimensions."""
    if values.size != expected.values.size or not np.array_equal(scales, expected.scales):
        return False
    ours, theirs = expected.values.squeeze(), values.squeeze()
    return any(
        np.array_equal(ours.transpose(order), theirs)
        for order in itertools.permutations(range(ours.ndim))
        if ours.transpose(order).shape == theirs.shape
    )
