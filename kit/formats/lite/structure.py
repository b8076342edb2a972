"""Read the structure of a Lite Interpreter file."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

from kit.formats.structure import GraphEntry, ModelStructure
from kit.formats.torchscript.engine import QNNPACK, use_engine

_BRANCHES = {"prim::If", "prim::Loop"}


def read_file(path: Path, version: str) -> ModelStructure:
    """Return graph and code.

    The interpreter runs bytecode, which has no names. The archive also has the program that it
    was compiled from, unless a tool has removed it: then there is the code alone, or nothing.
    """
    import torch

    from kit.formats.torch_structure import read_code, read_graph

    graphs: tuple[GraphEntry, ...]
    try:
        with use_engine(QNNPACK):  # must be set before packed weights are read
            module = torch.jit.load(str(path), map_location="cpu")
        graphs = (name_nodes(read_graph(module)),)
    except (RuntimeError, ValueError):
        graphs = ()
    return ModelStructure({"version": version}, graphs, read_code(path))


def name_nodes(graph: GraphEntry) -> GraphEntry:
    """Name nodes as the native runner's profile does, ``aten::flatten #6``: by their order.

    Instructions of the interpreter itself (``prim::``) are not counted there. A graph with
    branches, of which an inference takes one, is returned as it is.
    """
    if any(node.operator in _BRANCHES for node in graph.nodes):
        return graph
    numbers = count()
    nodes = (
        node
        if node.operator.startswith("prim::")
        else replace(node, name=f"{node.operator} #{next(numbers)}")
        for node in graph.nodes
    )
    return replace(graph, nodes=tuple(nodes))
