"""Name the encodings in a file after those of the bundle's `encodings.json`.

Formats rename tensors, but place the same numbers: an encoding whose scales and zero points only
one entry of `encodings.json` has is that entry's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from kit.encodings import MIDDLE, Encoding, Encodings
from kit.formats.structure import GraphEntry, ModelStructure, TensorEncoding, TensorEntry

_Numbers = tuple[tuple[float, ...], tuple[int, ...]]  # scales in float32, zero points of uint8


def name_sources(structure: ModelStructure, encodings: Encodings) -> ModelStructure:
    """Return a structure whose encodings have the names of their sources."""
    names: dict[_Numbers, list[str]] = {}
    for one in (*encodings.activations, *encodings.weights):
        names.setdefault(_numbers_of(one), []).append(one.name)
    unique = {numbers: owners[0] for numbers, owners in names.items() if len(owners) == 1}
    graphs = tuple(_name_graph(graph, unique) for graph in structure.graphs)
    return replace(structure, graphs=graphs)


def _name_graph(graph: GraphEntry, names: dict[_Numbers, str]) -> GraphEntry:
    def named(tensors: Iterable[TensorEntry]) -> tuple[TensorEntry, ...]:
        return tuple(_name_tensor(one, names) for one in tensors)

    return replace(
        graph,
        inputs=named(graph.inputs),
        outputs=named(graph.outputs),
        tensors=named(graph.tensors),
    )


def _name_tensor(tensor: TensorEntry, names: dict[_Numbers, str]) -> TensorEntry:
    encoding = tensor.encoding
    if encoding is None or encoding.dtype not in ("int8", "uint8"):
        return tensor
    source = names.get(_numbers_in(encoding), "")
    return replace(tensor, encoding=replace(encoding, source=source)) if source else tensor


def _numbers_of(encoding: Encoding) -> _Numbers:
    return _round(encoding.scales), tuple(-offset for offset in encoding.offsets)


def _numbers_in(encoding: TensorEncoding) -> _Numbers:
    shift = -MIDDLE if encoding.dtype == "int8" else 0
    return _round(encoding.scales), tuple(zero + shift for zero in encoding.zero_points)


def _round(scales: tuple[float, ...]) -> tuple[float, ...]:
    """Return scales as files store them, in float32."""
    return tuple(np.asarray(scales, np.float32).tolist())
