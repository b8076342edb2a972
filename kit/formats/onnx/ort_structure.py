"""Read files in ONNX Runtime's own format, with the classes of its schema.

https://github.com/microsoft/onnxruntime/blob/main/onnxruntime/core/flatbuffers/schema/ort.fbs
"""

from __future__ import annotations

import struct
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from kit.errors import BundleError
from kit.formats.onnx.operators import select_float
from kit.formats.properties import Description
from kit.formats.structure import GraphEntry, ModelStructure, NodeEntry, TensorEntry

if TYPE_CHECKING:
    from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs.InferenceSession import (
        InferenceSession,
    )
    from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs.Node import Node

_IDENTIFIER = b"ORTM"
_Read = TypeVar("_Read")


def is_ort(path: Path) -> bool:
    """Return whether a file begins as one in ONNX Runtime's format does."""
    try:
        with path.open("rb") as file:
            return file.read(8)[4:] == _IDENTIFIER
    except OSError:
        return False


def describe_file(path: Path) -> Description:
    """Read the version of the format and the operators.

    Raises:
        BundleError: the file is damaged.
    """

    def read(opened: InferenceSession) -> Description:
        counts = Counter(_name(node) for node in _list_nodes(opened))
        return Description(
            format_version=f"ORT format {_text(opened.OrtVersion())}",
            operators=dict(sorted(counts.items())),
            computed_in_float=select_float(counts),
        )

    return _read_file(path, read)


def is_quantized(path: Path) -> bool:
    """Return whether a file is in ONNX Runtime's format and computes in integers.

    It looks for the operator's name as a flatbuffer stores it: the classes of the schema are in a
    package of ONNX Runtime that imports torch, which would count as time to load the file.
    """
    name = b"QuantizeLinear"
    stored = struct.pack("<I", len(name)) + name + b"\0"
    return is_ort(path) and stored in path.read_bytes()


def read_file(path: Path) -> ModelStructure:
    """Return the graph, and the operators that a reduced build of ONNX Runtime needs.

    Raises:
        BundleError: the file is damaged.
    """

    def read(opened: InferenceSession) -> ModelStructure:
        graph = opened.Model().Graph()
        metadata = {
            "ORT format": _text(opened.OrtVersion()),
            "required operators": " ".join(list_required(opened)),
        }
        weights = {_text(graph.Initializers(i).Name()) for i in range(graph.InitializersLength())}
        names = [_text(graph.Inputs(i)) for i in range(graph.InputsLength())]
        entry = GraphEntry(
            name="",
            inputs=tuple(TensorEntry(name) for name in names if name not in weights),
            outputs=tuple(
                TensorEntry(_text(graph.Outputs(i))) for i in range(graph.OutputsLength())
            ),
            nodes=tuple(map(_read_node, _list_nodes(opened))),
            weights=len(weights),
        )
        return ModelStructure(metadata, (entry,))

    return _read_file(path, read)


def list_required(opened: InferenceSession) -> list[str]:
    """Return the lines of a configuration for ONNX Runtime's ``--include_ops_by_config``.

    https://onnxruntime.ai/docs/reference/operators/reduced-operator-config-file.html
    """
    operators: dict[tuple[str, int], set[str]] = defaultdict(set)
    for node in _list_nodes(opened):
        domain = _text(node.Domain()) or "ai.onnx"
        operators[domain, node.SinceVersion()].add(_text(node.OpType()))
    return [
        f"{domain};{version};{','.join(sorted(names))}"
        for (domain, version), names in sorted(operators.items())
    ]


def _read_file(path: Path, read: Callable[[InferenceSession], _Read]) -> _Read:
    from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs import InferenceSession

    try:
        opened = InferenceSession.InferenceSession.GetRootAs(path.read_bytes(), 0)
        return read(opened)
    except OSError as exc:
        raise BundleError(f"cannot read {path}: {exc.strerror}", "build it again") from exc
    except (struct.error, LookupError, ValueError, TypeError, AttributeError) as exc:
        raise BundleError(f"{path} is damaged: it is no .ort file", "build it again") from exc


def _list_nodes(opened: InferenceSession) -> Iterator[Node]:
    """Yield the nodes in an order in which each follows those that it takes values of.

    The file stores them by the order in which its optimizer made them.
    """
    graph = opened.Model().Graph()
    nodes = [graph.Nodes(i) for i in range(graph.NodesLength())]
    made = {name: node for node in nodes for name in _names(node.Outputs, node.OutputsLength())}
    seen: set[int] = set()
    for start in nodes:
        stack = [(start, False)]
        while stack:
            node, ready = stack.pop()
            if ready:
                yield node
            elif node.Index() not in seen:
                seen.add(node.Index())
                stack.append((node, True))
                inputs = _names(node.Inputs, node.InputsLength())
                stack += [(made[name], False) for name in reversed(inputs) if name in made]


def _read_node(node: Node) -> NodeEntry:
    return NodeEntry(
        _name(node),
        _text(node.Name()),
        tuple(_names(node.Inputs, node.InputsLength())),
        tuple(_names(node.Outputs, node.OutputsLength())),
    )


def _name(node: Node) -> str:
    domain = _text(node.Domain())
    return f"{domain}.{_text(node.OpType())}" if domain else _text(node.OpType())


def _names(read: Callable[[int], bytes | None], count: int) -> list[str]:
    return [_text(read(i)) for i in range(count)]


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode("utf-8", "replace")
