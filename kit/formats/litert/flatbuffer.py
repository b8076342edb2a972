"""Read, change and write LiteRT files with the schema's own classes.

https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs
"""

from __future__ import annotations

import functools
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import BundleError
from kit.formats.litert.packages import import_package

if TYPE_CHECKING:
    from types import ModuleType

_IDENTIFIER = b"TFL3"
_MIN_RUNTIME, _MIN_RUNTIME_BYTES = b"min_runtime_version", 16
Model = Any  # the schema's generated classes have no types
Subgraph = Model
Operator = Model
Tensor = Model


def import_schema() -> ModuleType:
    """Return the module of the schema's classes.

    Raises:
        MissingTool: ai-edge-litert is not installed.
    """
    return import_package("ai_edge_litert.schema_py_generated", "ai-edge-litert")


def read_model(path: Path) -> Model:
    """Read a file completely.

    Raises:
        BundleError: it is not a LiteRT file, or it is damaged.
    """
    try:
        return unpack_model(path.read_bytes())
    except OSError as exc:
        raise BundleError(f"cannot read {path}: {exc.strerror}", "build it again") from exc
    except (struct.error, LookupError, ValueError, TypeError, AttributeError) as exc:
        reason = str(exc).strip().splitlines() or [type(exc).__name__]
        raise BundleError(
            f"{path} is not a LiteRT file, or it is damaged: {reason[0]}", "build it again"
        ) from exc


def is_model(path: Path) -> bool:
    """Return whether a file begins as a LiteRT file does."""
    try:
        with path.open("rb") as file:
            return file.read(8)[4:] == _IDENTIFIER
    except OSError:
        return False


def unpack_model(content: bytes) -> Model:
    """Return a file's content as objects.

    Raises:
        ValueError: the content is no LiteRT file; damaged ones raise other errors too.
    """
    if content[4:8] != _IDENTIFIER:
        raise ValueError(f"its identifier is {content[4:8]!r} instead of {_IDENTIFIER!r}")
    model = import_schema().ModelT.InitFromPackedBuf(content, 0)
    if not model.subgraphs or not model.subgraphs[0].operators:
        raise ValueError("it has no operators")
    return model


def pack_model(model: Model) -> bytes:
    """Return the content of a file."""
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def find_metadata(model: Model, name: bytes) -> bytes | None:
    """Return what is attached to a file under a name; None if nothing is."""
    for entry in model.metadata or []:
        if entry.name == name:
            data = model.buffers[entry.buffer].data
            return b"" if data is None else bytes(data)
    return None


def add_metadata(model: Model, name: bytes, content: bytes) -> None:
    """Attach something to a file."""
    schema = import_schema()
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(content, np.uint8)
    model.buffers.append(buffer)
    entry.name, entry.buffer = name, len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]


def read_min_runtime(model: Model) -> str | None:
    """Return the oldest version of the runtime that has all operators; None if it names none."""
    stored = find_metadata(model, _MIN_RUNTIME)
    return None if stored is None else stored.rstrip(b"\0").decode("ascii", errors="replace")


def raise_min_runtime(model: Model, version: str) -> None:
    """Ask for a later version of the runtime, if the file asks for an earlier one."""
    stored = read_min_runtime(model)
    if stored is None or _split_version(stored) >= _split_version(version):
        return
    (entry,) = (one for one in model.metadata if one.name == _MIN_RUNTIME)
    content = import_schema().BufferT()
    content.data = np.frombuffer(version.encode().ljust(_MIN_RUNTIME_BYTES, b"\0"), np.uint8)
    model.buffers[entry.buffer] = content


def _split_version(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def list_operators(model: Model) -> Iterator[tuple[str, Subgraph, Operator]]:
    """Yield the name of each operator in the schema, its subgraph, and the operator."""
    names = _name_operators()
    for subgraph in model.subgraphs:
        for operator in subgraph.operators or []:
            code = model.operatorCodes[operator.opcodeIndex]
            # Codes above 127 do not fit into the older of two fields, which then holds 127.
            number = max(code.builtinCode, code.deprecatedBuiltinCode)
            name = names[number]
            yield (code.customCode.decode() if name == "CUSTOM" else name), subgraph, operator


def add_operator_code(model: Model, name: str, version: int) -> int:
    """Add a kind of operator to those of a file; return its index."""
    schema = import_schema()
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
    code.version = version
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def make_operator(code: int, source: int, target: int) -> Operator:
    """Return an operator without options.

    Args:
        code: the index of its kind.
        source: the index of the tensor that it reads.
        target: of the one that it writes.
    """
    operator = import_schema().OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = code, [source], [target]
    return operator


@functools.cache
def _name_operators() -> dict[int, str]:
    return _invert(import_schema().BuiltinOperator)


def _invert(enum: type) -> dict[int, str]:
    return {value: name for name, value in vars(enum).items() if isinstance(value, int)}


@functools.cache
def _name_types() -> dict[int, str]:
    return _invert(import_schema().TensorType)


def name_type(tensor: Tensor) -> str:
    """Return the data type of a tensor as the schema names it, such as ``INT8``."""
    return _name_types()[tensor.type]


def read_constant(model: Model, tensor: Tensor) -> NDArray[np.int8] | None:
    """Return the values of an int8 constant; None for a tensor that is computed."""
    data = model.buffers[tensor.buffer].data
    if data is None or not len(data):
        return None
    return np.asarray(data, np.uint8).view(np.int8).reshape([int(n) for n in tensor.shape])


def read_encoding(tensor: Tensor) -> tuple[NDArray[np.float32], NDArray[np.int64]] | None:
    """Return scales and zero points of a tensor; None for one that has none."""
    parameters = tensor.quantization
    if parameters is None or parameters.scale is None or not len(parameters.scale):
        return None
    scales = np.asarray(parameters.scale, np.float32)
    return scales, np.asarray(parameters.zeroPoint, np.int64)
