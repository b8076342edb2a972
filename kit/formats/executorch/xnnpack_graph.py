"""Read the graph of a payload of XNNPACK: nodes, tensors, and their encodings.

Fields are numbered in `executorch/backends/xnnpack/serialization/schema.fbs`; those of nodes are
read from the installed schema, as there are many.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from kit.formats.executorch.flat_table import F32, I16, I32, U8, U32, U64, FlatTable
from kit.formats.executorch.program import Parts, list_xnnpack_kinds
from kit.formats.structure import (
    GraphEntry,
    NodeEntry,
    TensorEncoding,
    TensorEntry,
    abbreviate,
)

_QUANTIZED = 2  # of XValueUnion
_PER_CHANNEL, _PER_TENSOR = 1, 2  # of XNNQuantParams
_NONE = 2**32 - 1
_DTYPES = {
    1: "float32",
    2: "float16",
    3: "int8",
    4: "uint8",
    5: "int32",
    6: "int8",
    7: "int32",
    8: "int4",
    9: "int8, scaled at run time",
    10: "int4",
    11: "int8, scaled at run time",
    12: "int32",
    13: "float32, packed",
    14: "bfloat16",
}


def read_graph(payload: bytes, parts: Parts, name: str) -> GraphEntry:
    """Return what a payload computes.

    Args:
        payload: whose head was checked (`program.read`).
        parts: of the program, for scales of channels.
        name: of the graph.
    """
    start, size = struct.unpack_from("<II", payload, 10)
    graph = FlatTable.root(payload[start : start + size])
    tensors = dict(_read_values(graph, payload, parts))
    inputs, outputs = ([int(n) for n in graph.numbers(field, U32)] for field in (4, 5))
    ends = {*inputs, *outputs}
    return GraphEntry(
        name=name,
        inputs=tuple(tensors[number] for number in inputs),
        outputs=tuple(tensors[number] for number in outputs),
        nodes=tuple(_read_node(node) for node in graph.tables(1)),
        weights=len(list(graph.tables(8))) or None,
        tensors=tuple(one for number, one in tensors.items() if number not in ends),
    )


def _read_node(node: FlatTable) -> NodeEntry:
    kind, fields = list_xnnpack_kinds()[node.number(0, U8)]
    table = node.table(1)
    inputs: list[str] = []
    outputs: list[str] = []
    parameters: dict[str, str] = {}
    for number, (name, type_) in enumerate(fields):
        if name.endswith("_id"):
            value = table.number(number, U32)
            if value != _NONE and (table.has(number) or name.startswith(("input1", "input_"))):
                (outputs if name.startswith("output") else inputs).append(_name(value))
        elif name != "flags" and table.has(number):
            parameters[name] = abbreviate(_read_field(table, number, type_))
    if node.has(3):
        limits = node.table(3)
        parameters["clamp"] = f"{limits.decimal(0):g} to {limits.decimal(1):g}"
    return NodeEntry(kind, "", tuple(inputs), tuple(outputs), parameters)


def _read_field(table: FlatTable, number: int, type_: str) -> object:
    if type_.startswith("["):
        return [int(one) for one in table.numbers(number, U32)]
    return table.decimal(number) if type_ == "float" else table.number(number, U32)


def _name(number: int) -> str:
    return f"%{number}"


def _read_values(
    graph: FlatTable, payload: bytes, parts: Parts
) -> Iterator[tuple[int, TensorEntry]]:
    """Yield the number of each tensor, and the tensor."""
    for value in graph.tables(2):
        own = value.table(1)
        quantized = value.number(0, U8) == _QUANTIZED
        tensor = own.table(0) if quantized else own
        number = tensor.number(6, U32)
        dtype = _DTYPES.get(tensor.number(0, I16), "unknown")
        shape = [int(size) for size in tensor.numbers(2, U32)]
        encoding = _read_encoding(own, dtype, graph, payload, parts) if quantized else None
        yield number, TensorEntry(_name(number), f"{dtype} {shape}", encoding)


def _read_encoding(
    value: FlatTable, dtype: str, graph: FlatTable, payload: bytes, parts: Parts
) -> TensorEncoding | None:
    kind = value.number(1, U8)
    if kind == _PER_TENSOR:
        scale = value.table(2)
        return TensorEncoding(dtype, (scale.decimal(0),), (scale.number(1, I32),))
    if kind != _PER_CHANNEL:
        return None
    channels = value.table(2)
    scales = channels.numbers(0, F32)
    if not scales:
        scales = _read_scales(channels, graph, payload, parts)
    return TensorEncoding(dtype, tuple(scales), (0,) * len(scales)) if scales else None


def _read_scales(
    channels: FlatTable, graph: FlatTable, payload: bytes, parts: Parts
) -> list[float]:
    """Return scales that are stored as a constant: in the payload, or in the program by name."""
    constant = list(graph.tables(8))[channels.number(2, U32)]
    count = channels.number(3, U32)
    data = parts.read_named(constant.text(2))
    if data is None:
        base = struct.unpack_from("<I", payload, 18)[0]  # where the header says constants begin
        data = payload[base + constant.number(0, U64) :]
    if len(data) < count * F32.size:
        return []
    return [float(one) for one in struct.unpack_from(f"<{count}f", data)]
