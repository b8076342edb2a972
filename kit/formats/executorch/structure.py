"""Read the structure of an ExecuTorch program."""

from __future__ import annotations

from pathlib import Path

from kit.formats.executorch import program
from kit.formats.structure import GraphEntry, ModelStructure, NodeEntry


def read_file(path: Path) -> ModelStructure:
    """Return the instructions of the program, and the nodes of each delegate.

    Raises:
        BundleError: it is not an ExecuTorch program, or it is damaged.
    """
    contents = program.read(path)
    names = [
        f"delegate {number}: {backend}" for number, (backend, _) in enumerate(contents.payloads)
    ]
    instructions = (
        NodeEntry(one)
        if isinstance(one, str)
        else NodeEntry("executorch_call_delegate", names[one])
        for one in contents.instructions
    )
    delegates = (
        GraphEntry(name, nodes=tuple(map(NodeEntry, kinds)))
        for name, (_, kinds) in zip(names, contents.payloads, strict=True)
    )
    return ModelStructure(
        {"program version": str(contents.version)},
        (GraphEntry("instructions", nodes=tuple(instructions)), *delegates),
    )
