"""Parse ExecuTorch programs from the bytes of the file.

A `.pte` is a flatbuffer (`executorch/schema/program.fbs`, identifier ET12) and the segments
that it points to. A payload of XNNPACK is a header of its own and again a flatbuffer
(`executorch/backends/xnnpack/serialization/schema.fbs`). Field numbers of a flatbuffer
never change, so the few used here are hard-coded. The parser is pure Python
over bytes: a damaged file raises an error and cannot crash the interpreter.
"""

from __future__ import annotations

import functools
import importlib.util
import re
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kit.errors import BundleError, MissingTool
from kit.formats.executorch.flat_table import U8, U16, U32, U64, FlatTable

XNNPACK = "XnnpackBackend"
VULKAN = "VulkanBackend"
_KERNEL_CALL, _DELEGATE_CALL = 1, 2  # of the union InstructionArguments
_SEGMENT = 1  # of the enum DataLocation
_QUANTIZED_TENSOR = 2  # of XNNPACK's union XValueUnion
_DYNAMIC_TYPES = {9, 11}  # int8 that is scaled at run time
_FLOAT_TYPES = {1, 2, 13, 14}  # of XNNPACK's enum XNNDatatype: fp32, fp16 and packed ones
_SCALE_FIELDS = {1: 2, 4: 4}  # of PerChannelQuant and PerChannelGroupQuant in XNNQuantParams
_NONE = 2**32 - 1


@dataclass(frozen=True)
class Contents:
    """The instructions of a program.

    Attributes:
        version: of the program's schema.
        kernels: calls of the runtime's own kernels, by operator.
        calls: calls of delegates, by backend.
        delegated: delegated nodes, by backend and then by kind; known for XNNPACK and Vulkan.
        floats: XNNPACK's nodes that compute in float, by kind.
        instructions: of all methods in order, each a kernel's name or the number of a delegate.
        payloads: backend and kinds of nodes of each delegate; no nodes where they are unknown.
    """

    version: int
    kernels: Counter[str]
    calls: Counter[str]
    delegated: dict[str, Counter[str]]
    floats: Counter[str]
    instructions: list[str | int]
    payloads: list[tuple[str, list[str]]]


@dataclass(frozen=True)
class Parts:
    """The flatbuffer of a program, and where its other data are.

    Attributes:
        program: table of the schema's root type.
        segments: start and length of each, in `data`.
        data: of the file.
    """

    program: FlatTable
    segments: list[tuple[int, int]]
    data: bytes

    def read_payload(self, delegate: FlatTable) -> bytes:
        """Return the payload of a delegate."""
        return _payload(delegate, self.program, self.segments, self.data)

    def read_named(self, key: str) -> bytes | None:
        """Return data that payloads refer to by a name; None for an unknown one."""
        for entry in self.program.tables(7):
            if entry.text(0) == key:
                start, length = self.segments[entry.number(1, U32)]
                return self.data[start : start + length]
        return None


def read(path: Path) -> Contents:
    """Read a program.

    Raises:
        BundleError: it is not an ExecuTorch program, or it is damaged.
    """
    try:
        return _parse(path.read_bytes())
    except OSError as exc:
        raise BundleError(f"cannot read {path}: {exc.strerror}", "build it again") from exc
    except (struct.error, LookupError, ValueError, TypeError, OverflowError) as exc:
        raise BundleError(
            f"{path} is not an ExecuTorch program, or it is damaged: {exc}", "build it again"
        ) from exc


def is_program(path: Path) -> bool:
    """Return whether a file begins as a program does."""
    try:
        with path.open("rb") as file:
            return file.read(8)[4:] == b"ET12"
    except OSError:
        return False


def open_parts(data: bytes) -> Parts:
    """Return the parts of a program's bytes.

    Raises:
        ValueError: it is not a program, or is cut; damaged ones raise other errors too.
    """
    size, base = _header(data)
    program = FlatTable.root(data[:size])
    segments = [(base + s.number(0, U64), s.number(1, U64)) for s in program.tables(4)]
    if any(start + length > len(data) for start, length in segments):
        raise ValueError("it ends before its data do")
    return Parts(program, segments, data)


def _parse(data: bytes) -> Contents:
    parts = open_parts(data)
    program, segments = parts.program, parts.segments
    named = {entry.text(0) for entry in program.tables(7)}
    contents = Contents(program.number(0, U32), Counter(), Counter(), {}, Counter(), [], [])
    for plan in program.tables(1):
        kernels = [name_kernel(operator) for operator in plan.tables(6)]
        first = len(contents.payloads)
        for delegate in plan.tables(7):
            backend = delegate.text(0)
            contents.payloads.append((backend, kinds := []))
            nodes = contents.delegated.setdefault(backend, Counter())
            if backend == XNNPACK:
                payload = _payload(delegate, program, segments, data)
                for kind, gives_floats in _xnnpack_nodes(payload, named):
                    kinds.append(kind)
                    nodes[kind] += 1
                    contents.floats[kind] += gives_floats
            elif backend == VULKAN:
                kinds += _read_vulkan_calls(_payload(delegate, program, segments, data))
                nodes.update(kinds)
        for chain in plan.tables(5):
            _count(chain, kernels, first, contents)
    if not contents.kernels and not contents.calls:
        raise ValueError("it has no instructions")
    return contents


def _header(data: bytes) -> tuple[int, int]:
    """Return the size of the program's flatbuffer, and where its segments begin."""
    if data[4:8] != b"ET12":
        raise ValueError(f"its identifier is {data[4:8]!r} instead of b'ET12'")
    if data[8:12] != b"eh00":
        return len(data), 0
    size, base = struct.unpack_from("<QQ", data, 16)
    return size, base


def name_kernel(operator: FlatTable) -> str:
    """Return ``aten::add.out`` of an entry of a plan's operators."""
    overload = operator.text(1)
    return f"{operator.text(0)}.{overload}" if overload else operator.text(0)


def _count(chain: FlatTable, kernels: list[str], first: int, contents: Contents) -> None:
    """Add the instructions of a chain, whose delegates begin at number `first`."""
    for instruction in chain.tables(2):
        kind, call = instruction.number(0, U8), instruction.table(1)
        if kind == _KERNEL_CALL:
            name = kernels[call.number(0, U32)]
            contents.kernels[name] += 1
            contents.instructions.append(name)
        elif kind == _DELEGATE_CALL:
            number = first + call.number(0, U32)
            contents.calls[contents.payloads[number][0]] += 1
            contents.instructions.append(number)


def _payload(
    delegate: FlatTable, program: FlatTable, segments: list[tuple[int, int]], data: bytes
) -> bytes:
    where = delegate.table(1)
    index = where.number(1, U32)
    if where.number(0, U8) != _SEGMENT:
        return list(program.tables(3))[index].octets(0)
    start, length = segments[index]
    return data[start : start + length]


def _xnnpack_nodes(payload: bytes, named: set[str]) -> Iterator[tuple[str, bool]]:
    """Yield each node's kind, and whether it computes in float, after checking its constants.

    A layer with dynamic quantization computes in integers, from a float input to a float output.

    The runtime uses indices of constants without a check, and crashes if a
    name is no valid text; so both are checked here first.
    """
    if payload[4:8] != b"XH00":
        raise ValueError(f"the XNNPACK payload begins with {payload[4:8]!r}")
    start, size = struct.unpack_from("<II", payload, 10)
    graph = FlatTable.root(payload[start : start + size])
    constants = [constant.text(2) for constant in graph.tables(8)]
    if missing := set(constants) - named - {""}:
        raise ValueError(f"it has no constant {min(missing)}")
    for value in graph.tables(2):
        for number in _constant_numbers(value):
            if number >= len(constants) and number != _NONE:
                raise ValueError(f"it has no constant number {number}")
    kinds, types = list_xnnpack_kinds(), _value_types(graph)
    for node in graph.tables(1):
        kind, fields = kinds[node.number(0, U8)]
        given, made = (
            {
                types.get(node.table(1).number(at, U32))
                for at, (name, _) in enumerate(fields)
                if name.startswith(end) and name.endswith("_id")
            }
            for end in ("input", "output_id")
        )
        yield kind, bool(made & _FLOAT_TYPES) and not given & _DYNAMIC_TYPES


def _read_vulkan_calls(payload: bytes) -> list[str]:
    """Return the operators of a payload of Vulkan, in order.

    `executorch/backends/vulkan/serialization`: a header of its own, then a flatbuffer.
    """
    if payload[4:8] != b"VH00":
        raise ValueError(f"the Vulkan payload begins with {payload[4:8]!r}")
    start, size = struct.unpack_from("<II", payload, 10)
    graph = FlatTable.root(payload[start : start + size])
    return [call.text(1) for call in graph.tables(1)]


def _constant_numbers(value: FlatTable) -> Iterator[int]:
    """Yield the indices of the constants with a value and its scales."""
    tensor = value.table(1)
    if value.number(0, U8) == _QUANTIZED_TENSOR:
        scale = _SCALE_FIELDS.get(tensor.number(1, U8))
        if scale is not None:
            yield tensor.table(2).number(scale, U32)
        tensor = tensor.table(0)
    yield tensor.number(3, U32)


@functools.cache
def list_xnnpack_kinds() -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """Return the name of each of XNNPACK's nodes, by its number, and name and type of its fields.

    They are read from the installed schema.

    Raises:
        MissingTool: there is none.
    """
    spec = importlib.util.find_spec("executorch")
    roots = spec.submodule_search_locations if spec else None
    if not roots:
        raise MissingTool("executorch is not installed", "pip install executorch")
    schema = Path(roots[0], "backends", "xnnpack", "serialization", "schema.fbs").read_text()
    union = re.search(r"union XNodeUnion \{(.*?)\}", schema, re.DOTALL)
    kinds: list[tuple[str, tuple[tuple[str, str], ...]]] = [("nothing", ())]
    for kind, table in re.findall(r"^\s*XNN(\w+)(?::\s*(\w+))?", union[1] if union else "", re.M):
        body = re.search(rf"table {table or f'XNN{kind}'} \{{(.*?)\}}", schema, re.DOTALL)
        fields = re.findall(r"^\s*(\w+):\s*([\w\[\]]+)", body[1] if body else "", re.M)
        kinds.append((kind, tuple(fields)))
    return tuple(kinds)


def _value_types(graph: FlatTable) -> dict[int, int]:
    """Return the XNNPACK data type of each value, by the value's number."""
    types = {}
    for value in graph.tables(2):
        tensor = value.table(1)
        if value.number(0, U8) == _QUANTIZED_TENSOR:
            tensor = tensor.table(0)
        types[tensor.number(6, U32)] = tensor.number(0, U16)
    return types
