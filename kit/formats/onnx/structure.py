"""Read the structure of an ONNX file (https://onnx.ai/onnx/repo-docs/IR.html)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import BundleError
from kit.formats.onnx.node_encodings import read_encodings
from kit.formats.onnx.providers import estimate_partitions
from kit.formats.structure import (
    GraphEntry,
    ModelStructure,
    NodeEntry,
    TensorEntry,
    abbreviate,
)

if TYPE_CHECKING:
    from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfoProto

_IR_VERSION = b"\x08"  # the tag of a model's first field


def is_onnx(path: Path) -> bool:
    """Return whether a file is an ONNX model.

    The format has no magic number: the first field of a model is its IR version, and a parser
    finds the graph.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        with path.open("rb") as file:
            if file.read(1) != _IR_VERSION:
                return False
        model = onnx.load(path, load_external_data=False)
    except (OSError, DecodeError):
        return False
    return bool(model.ir_version) and model.HasField("graph")


def read_file(path: Path) -> ModelStructure:
    """Return model, graph and nodes.

    Raises:
        BundleError: it is not an ONNX file.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path, load_external_data=False)  # a file may name any other one
    except DecodeError as exc:
        raise BundleError(f"{path} is not an ONNX file: {exc}", "build it again") from exc
    if not model.ir_version or not model.HasField("graph"):
        raise BundleError(f"{path} is not an ONNX file: it has no graph", "build it again")
    opsets = (f"{one.domain or 'ai.onnx'} {one.version}" for one in model.opset_import)
    producer = f"{model.producer_name} {model.producer_version}".strip()
    return ModelStructure(
        metadata={
            "IR version": str(model.ir_version),
            "opset": ", ".join(opsets),
            "producer": producer or "unknown",
            **({"model version": str(model.model_version)} if model.model_version else {}),
            **{entry.key: abbreviate(entry.value) for entry in model.metadata_props},
            **{name: abbreviate(text) for name, text in estimate_partitions(model).items()},
        },
        graphs=(_read_graph(model.graph),),
    )


def _read_graph(graph: GraphProto) -> GraphEntry:
    weights = {tensor.name for tensor in graph.initializer}
    encodings = read_encodings(graph)
    types = {one.name: _write_type(one) for one in (*graph.value_info, *graph.input, *graph.output)}
    types |= {one.name: _write_constant_type(one) for one in graph.initializer}

    def entry(name: str) -> TensorEntry:
        return TensorEntry(name, types.get(name, ""), encodings.get(name))

    ends = [one.name for one in graph.input if one.name not in weights]
    leaves = [one.name for one in graph.output]
    return GraphEntry(
        name=graph.name,
        inputs=tuple(map(entry, ends)),
        outputs=tuple(map(entry, leaves)),
        nodes=tuple(map(_read_node, graph.node)),
        weights=len(weights),
        tensors=tuple(
            entry(n) for n in dict.fromkeys((*types, *encodings)) if n not in (*ends, *leaves)
        ),
    )


def _write_type(value: ValueInfoProto) -> str:
    from onnx import helper

    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not tensor.elem_type:
        return value.type.WhichOneof("value") or ""
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    if not tensor.HasField("shape"):
        return str(dtype)
    sizes = (
        one.dim_param or (one.dim_value if one.HasField("dim_value") else "?")
        for one in tensor.shape.dim
    )
    return f"{dtype} [{', '.join(map(str, sizes))}]"


def _write_constant_type(tensor: TensorProto) -> str:
    from onnx import helper

    return f"{helper.tensor_dtype_to_np_dtype(tensor.data_type)} {list(tensor.dims)}"


def _read_node(node: NodeProto) -> NodeEntry:
    operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    return NodeEntry(
        operator,
        node.name,
        tuple(node.input),
        tuple(node.output),
        {attribute.name: _write_attribute(attribute) for attribute in node.attribute},
    )


def _write_attribute(attribute: AttributeProto) -> str:
    from onnx import AttributeProto, helper

    if attribute.type == AttributeProto.TENSOR:
        shape = list(attribute.t.dims)
        return f"{helper.tensor_dtype_to_np_dtype(attribute.t.data_type)} {shape}"
    if attribute.type == AttributeProto.GRAPH:
        return f"graph of {len(attribute.g.node)} nodes"
    value = helper.get_attribute_value(attribute)
    return abbreviate(value.decode("utf-8", "replace") if isinstance(value, bytes) else value)
