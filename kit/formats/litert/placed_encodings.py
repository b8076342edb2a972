"""Check that a LiteRT file holds exactly the encodings of the graph that it was made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kit.formats.graph_encodings import FileEncodings, GraphEncodings, check_placed
from kit.formats.litert.flatbuffer import Model, name_type, read_constant, read_encoding


def check_encodings(model: Model, encodings: GraphEncodings) -> None:
    """Compare a file with the encodings of its graph.

    Raises:
        BuildError: an encoding finds no place, or the converter chose one of its own.
    """
    check_placed(_read_encodings(model), encodings, "LiteRT")


def _read_encodings(model: Model) -> FileEncodings:
    """Return the encodings of tensors that are computed, and the int8 constants."""
    activations: dict[tuple[float, int], str] = {}
    constants: list[tuple[NDArray[np.int8], NDArray[np.float32]]] = []
    for subgraph in model.subgraphs:
        for tensor in subgraph.tensors:
            encoding = read_encoding(tensor)
            if encoding is None or name_type(tensor) not in ("INT8", "INT16"):
                continue
            scales, zeros = encoding
            values = read_constant(model, tensor)
            if values is not None:
                constants.append((values, scales))
            else:
                activations[float(scales[0]), int(zeros[0])] = tensor.name.decode()
    return FileEncodings(activations, constants)
