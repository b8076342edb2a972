"""Read the structure of an ExecuTorch program: instructions, and what delegates compute."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kit.formats.executorch import program
from kit.formats.executorch.flat_table import I32, U8, U32, FlatTable
from kit.formats.executorch.program import Parts
from kit.formats.executorch.xnnpack_graph import read_graph
from kit.formats.structure import GraphEntry, ModelStructure, NodeEntry, TensorEntry

_KERNEL_CALL, _DELEGATE_CALL = 1, 2  # of the union InstructionArguments
_TENSOR = 5  # of the union KernelTypes
# Of the enum ScalarType, as in torch's `c10/core/ScalarType.h`.
_DTYPES = {
    0: "uint8",
    1: "int8",
    2: "int16",
    3: "int32",
    4: "int64",
    5: "float16",
    6: "float32",
    7: "float64",
    11: "bool",
    15: "bfloat16",
}


def read_file(path: Path) -> ModelStructure:
    """Return the instructions of each method, and the nodes of each delegate.

    Raises:
        BundleError: it is not an ExecuTorch program, or it is damaged.
    """
    contents = program.read(path)  # checks what is read below
    parts = program.open_parts(path.read_bytes())
    names = [f"delegate {number}: {one}" for number, (one, _) in enumerate(contents.payloads)]
    methods, delegates, first = [], [], 0
    for plan in parts.program.tables(1):
        own = list(plan.tables(7))
        methods.append(_read_method(plan, names[first : first + len(own)]))
        for number, delegate in enumerate(own, first):
            delegates.append(_read_delegate(delegate, parts, names[number], contents, number))
        first += len(own)
    return ModelStructure({"program version": str(contents.version)}, (*methods, *delegates))


def _read_delegate(
    delegate: FlatTable, parts: Parts, name: str, contents: program.Contents, number: int
) -> GraphEntry:
    backend, kinds = contents.payloads[number]
    if backend == program.XNNPACK:
        return read_graph(parts.read_payload(delegate), parts, name)
    return GraphEntry(name, nodes=tuple(map(NodeEntry, kinds)))


def _read_method(plan: FlatTable, delegates: list[str]) -> GraphEntry:
    values = list(plan.tables(2))
    known = {n: one for n in range(len(values)) if (one := _read_tensor(n, values[n])) is not None}
    inputs, outputs = ([int(one) for one in plan.numbers(field, I32)] for field in (3, 4))
    constants = {n for n in known if values[n].table(1).number(5, U32)}
    written = {*inputs, *constants}
    kernels = [program.name_kernel(one) for one in plan.tables(6)]
    nodes = [
        node
        for chain in plan.tables(5)
        for instruction in chain.tables(2)
        for node in _read_instruction(instruction, kernels, delegates, known, written)
    ]
    ends = {*inputs, *outputs}
    return GraphEntry(
        name="instructions" if plan.text(0) == "forward" else f"instructions of {plan.text(0)}",
        inputs=tuple(known.get(n, TensorEntry(f"%{n}")) for n in inputs),
        outputs=tuple(known.get(n, TensorEntry(f"%{n}")) for n in outputs),
        nodes=tuple(nodes),
        weights=len(constants),
        tensors=tuple(one for number, one in known.items() if number not in ends),
    )


def _read_instruction(
    instruction: FlatTable,
    kernels: list[str],
    delegates: list[str],
    known: dict[int, TensorEntry],
    written: set[int],
) -> Iterator[NodeEntry]:
    """Yield the node of a call; other instructions move and free values.

    A call names its arguments without saying which it writes: those are the tensors that nothing
    has written yet.
    """
    kind = instruction.number(0, U8)
    if kind not in (_KERNEL_CALL, _DELEGATE_CALL):
        return
    call = instruction.table(1)
    number = call.number(0, U32)
    arguments = [int(one) for one in call.numbers(1, I32)]
    tensors = [one for one in dict.fromkeys(arguments) if one in known]
    results = [one for one in tensors if one not in written]
    written.update(results)
    operator = kernels[number] if kind == _KERNEL_CALL else "executorch_call_delegate"
    yield NodeEntry(
        operator,
        "" if kind == _KERNEL_CALL else delegates[number],
        tuple(known[one].name for one in tensors if one not in results),
        tuple(known[one].name for one in results),
    )


def _read_tensor(number: int, value: FlatTable) -> TensorEntry | None:
    """Return a value of a plan; None for one that is no tensor."""
    if value.number(0, U8) != _TENSOR:
        return None
    tensor = value.table(1)
    dtype = _DTYPES.get(tensor.number(0, U8), "unknown")
    shape = [int(size) for size in tensor.numbers(2, I32)]
    return TensorEntry(f"%{number}", f"{dtype} {shape}")
