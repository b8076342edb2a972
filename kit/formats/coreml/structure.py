"""Read the structure of a Core ML package: its metadata and its ML program."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from kit.formats.coreml.describe import list_operations, name_version
from kit.formats.coreml.package import FUNCTION, CoreMlObject, read_package
from kit.formats.coreml.placed_encodings import name_type
from kit.formats.structure import (
    GraphEntry,
    ModelStructure,
    NodeEntry,
    TensorEntry,
    abbreviate,
)

_COMPUTED = {"fp32", "fp16", "int8", "uint8"}


def read_file(path: Path) -> ModelStructure:
    """Return the metadata and the function ``main``.

    Raises:
        BundleError: it is not a model package, or it is damaged.
    """
    package = read_package(path)
    model, function = package.model, package.function
    own = model.description.metadata.userDefined
    return ModelStructure(
        metadata={
            "specification": name_version(model.specificationVersion).removeprefix(
                "specification "
            ),
            **{key: abbreviate(own[key]) for key in sorted(own)},
        },
        graphs=(
            GraphEntry(
                name=FUNCTION,
                inputs=tuple(map(_read_tensor, function.inputs.values())),
                outputs=tuple(map(_read_tensor, function.outputs)),
                nodes=tuple(map(_read_node, list_operations(function))),
                weights=sum(map(_is_weight, function.operations)),
            ),
        ),
    )


def _is_weight(operation: CoreMlObject) -> bool:
    """Whether an operation is a constant tensor that is computed with."""
    (tensor, *_) = operation.outputs
    return operation.op_type == "const" and tensor.rank > 0 and name_type(tensor) in _COMPUTED


def _read_tensor(tensor: CoreMlObject) -> TensorEntry:
    return TensorEntry(tensor.name, f"{name_type(tensor)} {list(tensor.shape)}")


def _read_node(operation: CoreMlObject) -> NodeEntry:
    inputs: list[str] = []
    parameters = {}
    for name, value in operation.inputs.items():
        tensors: Iterable[CoreMlObject] = value if isinstance(value, list | tuple) else [value]
        computed = [one.name for one in tensors if one.op is None or one.op.op_type != "const"]
        inputs += computed
        if not computed:
            parameters[name] = _write_constant(value)
    return NodeEntry(
        operator=operation.op_type,
        name=operation.name,
        inputs=tuple(inputs),
        outputs=tuple(one.name for one in operation.outputs),
        parameters=parameters,
    )


def _write_constant(value: CoreMlObject) -> str:
    """Return a small constant, or type and shape of a weight."""
    values = value if isinstance(value, list | tuple) else [value]
    texts = [
        f"{name_type(one)} {list(one.shape)}" if getattr(one.val, "size", 1) > 8 else str(one.val)
        for one in values
    ]
    return abbreviate(", ".join(texts))
