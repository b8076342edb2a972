"""Read the structure of a LiteRT file: its subgraphs, and the options of their operators."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from kit.formats.litert.flatbuffer import (
    Model,
    Operator,
    Subgraph,
    Tensor,
    list_operators,
    name_type,
    read_encoding,
    read_model,
)
from kit.formats.litert.metadata import read_metadata
from kit.formats.structure import (
    GraphEntry,
    ModelStructure,
    NodeEntry,
    TensorEncoding,
    TensorEntry,
    abbreviate,
)


def read_file(path: Path) -> ModelStructure:
    """Return the metadata and the subgraphs.

    Raises:
        BundleError: it is not a LiteRT file, or it is damaged.
    """
    model = read_model(path)
    nodes: dict[int, list[NodeEntry]] = {id(graph): [] for graph in model.subgraphs}
    for name, graph, operator in list_operators(model):
        nodes[id(graph)].append(_read_node(name, graph, operator))
    return ModelStructure(
        metadata={
            "schema": str(model.version),
            "description": abbreviate(_decode(model.description) or "none"),
            **{_decode(entry.name): "attached" for entry in model.metadata or []},
            **{key: abbreviate(value) for key, value in read_metadata(path, model).items()},
        },
        graphs=tuple(
            _read_graph(model, graph, nodes[id(graph)], number)
            for number, graph in enumerate(model.subgraphs)
        ),
    )


def _read_graph(
    model: Model, graph: Subgraph, nodes: Iterable[NodeEntry], number: int
) -> GraphEntry:
    buffers = (model.buffers[tensor.buffer].data for tensor in graph.tensors)
    ends = {int(index) for index in (*graph.inputs, *graph.outputs)}
    return GraphEntry(
        name=_decode(graph.name) or f"subgraph {number}",
        inputs=tuple(_read_tensor(graph, index) for index in graph.inputs),
        outputs=tuple(_read_tensor(graph, index) for index in graph.outputs),
        nodes=tuple(nodes),
        weights=sum(data is not None for data in buffers),
        tensors=tuple(
            _read_tensor(graph, index) for index in range(len(graph.tensors)) if index not in ends
        ),
    )


def _read_tensor(graph: Subgraph, index: int) -> TensorEntry:
    tensor = graph.tensors[index]
    shape = [] if tensor.shape is None else [int(n) for n in tensor.shape]
    dtype = name_type(tensor).lower()
    return TensorEntry(_decode(tensor.name), f"{dtype} {shape}", _read_encoding(tensor, dtype))


def _read_encoding(tensor: Tensor, dtype: str) -> TensorEncoding | None:
    encoding = read_encoding(tensor)
    if encoding is None:
        return None
    scales, zeros = (part.tolist() for part in encoding)
    return TensorEncoding(dtype, tuple(scales), tuple(zeros or [0] * len(scales)))


def _read_node(name: str, graph: Subgraph, operator: Operator) -> NodeEntry:
    options = operator.builtinOptions
    parameters = {} if options is None else vars(options)
    return NodeEntry(
        operator=name,
        inputs=tuple(_name(graph, index) for index in operator.inputs),
        outputs=tuple(_name(graph, index) for index in operator.outputs),
        parameters={key: abbreviate(value) for key, value in parameters.items()},
    )


def _name(graph: Subgraph, index: int) -> str:
    """Return the name of a tensor; an optional input that is left out has the index -1."""
    return "" if index < 0 else _decode(graph.tensors[index].name)


def _decode(text: bytes | str | None) -> str:
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text or ""
