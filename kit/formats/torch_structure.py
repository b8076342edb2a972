"""Read the structure of archives of TorchScript: graph and code, which are stored as text."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.formats.structure import GraphEntry, NodeEntry, TensorEntry, abbreviate

if TYPE_CHECKING:
    from torch.jit import ScriptModule

IrObject = Any  # torch has no types for its IR

_MAX_CODE_BYTES = 4 * 2**20


def read_graph(module: ScriptModule) -> GraphEntry:
    """Return the graph of ``forward``, with all that it calls in it."""
    graph: IrObject = module.inlined_graph
    nodes = [node for node in graph.nodes() if node.kind() != "prim::Constant"]
    constants = sum(
        node.kind() == "prim::Constant" and str(node.output().type()) == "Tensor"
        for node in graph.nodes()
    )
    inputs = [value for value in graph.inputs() if not value.type().kind().startswith("Class")]
    return GraphEntry(
        name="forward",
        inputs=tuple(map(_read_value, inputs)),
        outputs=tuple(map(_read_value, graph.outputs())),
        nodes=tuple(map(_read_node, nodes)),
        weights=constants,
    )


def read_code(path: Path) -> str:
    """Return the code in an archive, with the name of its file before each part."""
    parts = []
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.filename.endswith(".py") and info.file_size <= _MAX_CODE_BYTES:
                text = archive.read(info).decode("utf-8", "replace")
                parts.append(f"# {info.filename}\n{text.rstrip()}\n")
    return "\n".join(parts)


def _read_value(value: IrObject) -> TensorEntry:
    return TensorEntry(f"%{value.debugName()}", str(value.type()))


def _read_node(node: IrObject) -> NodeEntry:
    names = node.attributeNames()
    return NodeEntry(
        node.kind(),
        node.scopeName(),
        tuple(_write_input(value) for value in node.inputs()),
        tuple(f"%{value.debugName()}" for value in node.outputs()),
        {name: abbreviate(getattr(node, node.kindOf(name))(name)) for name in names},
    )


def _write_input(value: IrObject) -> str:
    """Return the name of a tensor, or a constant's value."""
    source = value.node()
    if source.kind() != "prim::Constant":
        return f"%{value.debugName()}"
    constant = value.toIValue()
    simple = isinstance(constant, bool | int | float | str | list | type(None))
    return abbreviate(constant) if simple else f"%{value.debugName()}"
