"""Read the structure of a Lite Interpreter file."""

from __future__ import annotations

from pathlib import Path

from kit.formats.structure import GraphEntry, ModelStructure


def read_file(path: Path, version: str) -> ModelStructure:
    """Return graph and code.

    The interpreter runs bytecode, which has no names. The archive also has the program that it
    was compiled from, unless a tool has removed it: then there is the code alone, or nothing.
    """
    import torch

    from kit.formats.torch_structure import read_code, read_graph

    torch.backends.quantized.engine = "qnnpack"  # must be set before packed weights are read
    graphs: tuple[GraphEntry, ...]
    try:
        graphs = (read_graph(torch.jit.load(str(path), map_location="cpu")),)
    except (RuntimeError, ValueError):
        graphs = ()
    return ModelStructure({"version": version}, graphs, read_code(path))
