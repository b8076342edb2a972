"""Read the structure of archives of TorchScript: graph and code, which are stored as text."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.formats.structure import (
    GraphEntry,
    NodeEntry,
    TensorEncoding,
    TensorEntry,
    abbreviate,
)

if TYPE_CHECKING:
    from torch import Tensor
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
        tensors=tuple(_read_inner(graph)),
    )


def _read_inner(graph: IrObject) -> Iterator[TensorEntry]:
    """Yield the tensors that are quantized, and the constants."""
    for node in graph.nodes():
        if node.kind() == "prim::Constant":
            yield from _read_constant(node.output())
        elif (encoding := _read_result(node)) is not None:
            yield TensorEntry(f"%{node.output().debugName()}", encoding=encoding)


def _read_result(node: IrObject) -> TensorEncoding | None:
    """Return the encoding of an operator's output, which is among its arguments: scale, zero."""
    kind, inputs = node.kind(), list(node.inputs())
    if kind == "aten::quantize_per_tensor":
        numbers = inputs[1:3]
    elif kind.startswith("quantized::") and len(inputs) > 2 and node.outputsSize() == 1:
        numbers = inputs[-2:]
    else:
        return None
    if any(one.node().kind() != "prim::Constant" for one in numbers):
        return None
    scale, zero = (one.toIValue() for one in numbers)
    if not isinstance(scale, float) or not isinstance(zero, int) or isinstance(zero, bool):
        return None
    return TensorEncoding("uint8", (scale,), (zero,))


def _read_constant(value: IrObject) -> Iterator[TensorEntry]:
    """Yield a constant tensor, or the weights of packed parameters."""
    import torch

    constant, name = value.toIValue(), f"%{value.debugName()}"
    if isinstance(constant, torch.Tensor):
        yield _describe_tensor(name, constant)
    elif "PackedParams" in str(value.type()):
        # The state of packed parameters is nested; the tensor of levels is the weights.
        packed = _find_tensor(constant.__getstate__())
        if packed is not None:
            yield _describe_tensor(name, packed)


def _describe_tensor(name: str, tensor: Tensor) -> TensorEntry:
    import torch

    shape = list(tensor.shape)
    if not tensor.is_quantized:
        return TensorEntry(name, f"{str(tensor.dtype).removeprefix('torch.')} {shape}")
    dtype = str(tensor.dtype).removeprefix("torch.q")  # qint8, quint8
    if tensor.qscheme() in (torch.per_channel_affine, torch.per_channel_symmetric):
        scales = tuple(tensor.q_per_channel_scales().tolist())
        zeros = tuple(int(one) for one in tensor.q_per_channel_zero_points().tolist())
    else:
        scales, zeros = (tensor.q_scale(),), (tensor.q_zero_point(),)
    return TensorEntry(name, f"{dtype} {shape}", TensorEncoding(dtype, scales, zeros))


def _find_tensor(state: object) -> Tensor | None:
    """Return the first quantized tensor in nested lists."""
    import torch

    if isinstance(state, torch.Tensor):
        return state if state.is_quantized else None
    parts = state if isinstance(state, list | tuple) else ()
    return next((one for part in parts if (one := _find_tensor(part)) is not None), None)


def read_code(path: Path) -> str:
    """Return the code in an archive, with the name of its file before each part."""
    parts = []
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.filename.endswith(".py") and info.file_size <= _MAX_CODE_BYTES:
                text = archive.read(info).decode("utf-8", "replace")
                parts.append(f"# {info.filename}\n{text.rstrip()}\n")
    return "\n".join(parts)


def list_members(path: Path) -> list[str]:
    """Return the names in an archive; none for a file that is not an archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile):
        return []


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
