"""Describe a LiteRT file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TypedDict

from kit.formats.litert.flatbuffer import (
    Model,
    Operator,
    Subgraph,
    list_operators,
    name_type,
    read_min_runtime,
    read_model,
)
from kit.formats.litert.session import open_interpreter
from kit.formats.properties import Description

_FLOATS = {"FLOAT32", "FLOAT16"}
_MOVES = {
    *("QUANTIZE", "DEQUANTIZE", "TRANSPOSE", "RESHAPE", "SQUEEZE", "EXPAND_DIMS"),
    *("CONCATENATION", "SLICE", "STRIDED_SLICE", "PAD", "PADV2", "SPLIT", "CAST"),
}
_DELEGATE = "DELEGATE"  # the interpreter's name of a node that stands for delegated ones


class _NodeDetails(TypedDict):
    """A node of the interpreter, with the numbers of its tensors."""

    index: int
    op_name: str
    inputs: list[int]
    outputs: list[int]


def describe_file(path: Path) -> Description:
    """Read the schema, the operators, and those that XNNPACK takes on this processor.

    Raises:
        BundleError: it is not a LiteRT file, or it is damaged.
    """
    model = read_model(path)
    operators: Counter[str] = Counter()
    in_float: Counter[str] = Counter()
    for name, subgraph, operator in list_operators(model):
        operators[name] += 1
        if name not in _MOVES and _computes_in_float(subgraph, operator):
            in_float[name] += 1
    delegated = _count_delegated(path)
    rest = operators - delegated
    return Description(
        format_version=_read_format_version(model),
        operators=dict(sorted(operators.items())),
        delegates={"xnnpack": delegated.total()} if delegated else {},
        not_delegated=dict(sorted(rest.items())),
        computed_in_float=dict(sorted(in_float.items())),
    )


def _computes_in_float(subgraph: Subgraph, operator: Operator) -> bool:
    """Whether an operator's output is float, and it has no int8 weights to compute with."""
    inputs = () if operator.inputs is None else operator.inputs
    given, made = (
        {name_type(subgraph.tensors[index]) for index in indices if index >= 0}
        for indices in (inputs, operator.outputs)
    )
    return bool(made & _FLOATS) and "INT8" not in given


def _read_format_version(model: Model) -> str:
    """Return the version of the schema, and the oldest runtime that has the operators."""
    oldest = read_min_runtime(model)
    return f"schema {model.version}" + (f", runtime {oldest}" if oldest else "")


def _count_delegated(path: Path) -> Counter[str]:
    """Return the operators that XNNPACK takes, by name.

    The interpreter does not list them. A delegate's node has the tensors at its borders: what
    computes its outputs from its inputs is delegated.
    """
    nodes: list[_NodeDetails] = open_interpreter(path, 1)._get_ops_details()
    makers = {
        int(tensor): node
        for node in nodes
        if node["op_name"] != _DELEGATE
        for tensor in node["outputs"]
    }
    taken: dict[int, str] = {}
    for delegate in (node for node in nodes if node["op_name"] == _DELEGATE):
        inputs = set(map(int, delegate["inputs"]))
        waiting = list(map(int, delegate["outputs"]))
        while waiting:
            tensor = waiting.pop()
            node = makers.get(tensor)
            if node is None or tensor in inputs or node["index"] in taken:
                continue
            taken[node["index"]] = node["op_name"]
            waiting += map(int, node["inputs"])
    return Counter(taken.values())
