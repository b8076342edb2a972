"""Read the float model of bundles that kit wrote before 0.2, as data.

It is a `torch.export` archive. torch's own reader unpickles parts of one and evaluates
expressions in it; here only its JSON and the raw bytes of its tensors are read, and become a
`kit.formats._reference.aten` graph, which refuses all but operators on tensors.

Source: torch/_export/serde/schema.py, schema version 8
"""

from __future__ import annotations

import json
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import BundleError
from kit.formats._reference import aten
from kit.formats._reference.aten import Call, Graph, OperandValue, Ref

if TYPE_CHECKING:
    from torch import Tensor

SCHEMA = 8
_JSON_BYTES = 64 * 2**20
_TENSOR_BYTES = 4 * 2**30
# The numbers of torch's enum ScalarType, as names of torch's types.
_TYPES = {
    **{1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16"},
    **{7: "float32", 8: "float64", 12: "bool", 13: "bfloat16"},
}
_MEMORY_FORMATS = {1: "contiguous_format", 2: "channels_last", 4: "preserve_format"}
_STRIDED = 7  # the only layout that is read
_AS_KEYWORD = 2
_OPERATORS = {"torch.ops.": "", "_operator.": "operator."}


def load(path: Path) -> aten.AtenModel:
    """Read a model.

    Raises:
        BundleError: it is damaged, or of another schema.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _model(archive)
    except (
        *(zipfile.BadZipFile, OSError, EOFError, ValueError, LookupError),
        *(TypeError, AttributeError, RuntimeError, OverflowError),
        *(zlib.error, struct.error),
    ) as exc:
        raise BundleError(
            f"{path} is not the float model of a bundle: {exc}", "build it again"
        ) from exc


def _model(archive: zipfile.ZipFile) -> aten.AtenModel:
    (member,) = [name for name in archive.namelist() if name.endswith("/models/model.json")]
    root = member.removesuffix("models/model.json")
    model = _read_json(archive, member)
    major = model["schema_version"]["major"]
    if major != SCHEMA:
        raise ValueError(f"its schema is {major!r}, not {SCHEMA}")
    module = model["graph_module"]
    signature = module["signature"]
    tensors = {
        **_tensors(archive, f"{root}data/weights/", "model_weights_config.json"),
        **_tensors(archive, f"{root}data/constants/", "model_constants_config.json"),
    }
    inputs, named = [], {}
    for spec in signature["input_specs"]:
        ((kind, about),) = spec.items()
        if kind == "user_input":
            inputs.append(str(about["arg"]["as_tensor"]["name"]))
        else:
            # "parameter" has its target as "parameter_name", and so on.
            named[str(about["arg"]["name"])] = tensors[about[f"{kind}_name"]]
    outputs = tuple(
        str(spec["user_output"]["arg"]["as_tensor"]["name"])
        for spec in signature["output_specs"]
        if "user_output" in spec
    )
    calls = tuple(call for node in module["graph"]["nodes"] for call in _calls(node))
    return aten.check_graph(Graph(tuple(inputs), outputs, calls), named)


def _read_json(archive: zipfile.ZipFile, name: str) -> OperandValue:
    return json.loads(_read(archive, name, _JSON_BYTES))


def _read(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    if archive.getinfo(name).file_size > limit:
        raise ValueError(f"{name} is larger than {limit} bytes")
    return archive.read(name)


def _tensors(archive: zipfile.ZipFile, folder: str, config: str) -> dict[str, Tensor]:
    entries = _read_json(archive, folder + config)["config"]
    return {str(name): _tensor(archive, folder, entry) for name, entry in entries.items()}


def _tensor(archive: zipfile.ZipFile, folder: str, entry: OperandValue) -> Tensor:
    import torch

    if entry["use_pickle"]:
        raise ValueError(f"{entry['path_name']} is a pickle, which kit does not read")
    about = entry["tensor_meta"]
    sizes, strides = (_integers(about[key]) for key in ("sizes", "strides"))
    dtype = getattr(torch, _TYPES[about["dtype"]])
    data = bytearray(_read(archive, folder + str(entry["path_name"]), _TENSOR_BYTES))
    if not math.prod(sizes):
        return torch.empty(sizes, dtype=dtype)
    flat = torch.frombuffer(data, dtype=dtype)
    # `as_strided` itself refuses views beyond the bytes.
    (offset,) = _integers([about["storage_offset"]])
    return flat.as_strided(sizes, strides, offset).clone()


def _integers(entries: OperandValue) -> tuple[int, ...]:
    return tuple(int(entry["as_int"]) for entry in entries)


def _calls(node: OperandValue) -> Iterator[Call]:
    """Yield the call of a node, and one for each of several results.

    Assertions, which have no result, are skipped.
    """
    if not node["outputs"]:
        return
    op = str(node["target"])
    for prefix, ours in _OPERATORS.items():
        if op.startswith(prefix):
            op = ours + op.removeprefix(prefix)
    args = [_value(i["arg"]) for i in node["inputs"] if i["kind"] != _AS_KEYWORD]
    kwargs = {str(i["name"]): _value(i["arg"]) for i in node["inputs"] if i["kind"] == _AS_KEYWORD}
    results = list(_results(node["outputs"]))
    whole = str(node["name"])
    if len(results) == 1 and "as_tensors" not in node["outputs"][0]:
        yield Call(op, results[0], tuple(args), kwargs)
        return
    yield Call(op, whole, tuple(args), kwargs)
    for index, name in enumerate(results):
        yield Call("operator.getitem", name, (Ref(whole), index), {})


def _results(outputs: OperandValue) -> Iterator[str]:
    for output in outputs:
        ((kind, value),) = output.items()
        for entry in value if kind == "as_tensors" else [value]:
            yield str(entry["as_name"] if "as_name" in entry else entry["name"])


def _value(argument: OperandValue) -> OperandValue:
    """Return the value of a node's argument, whose only key is its type."""
    import torch

    ((kind, value),) = argument.items()
    if kind in ("as_tensor", "as_sym_int", "as_sym_float", "as_sym_bool"):
        return _reference(value)
    if kind in ("as_tensors", "as_sym_ints", "as_sym_floats", "as_sym_bools"):
        return [_reference(entry) for entry in value]
    if kind == "as_optional_tensors":
        return [None if "as_none" in e else _reference(e["as_tensor"]) for e in value]
    if kind == "as_none":
        return None
    if kind == "as_float":
        return float(value)
    if kind in ("as_int", "as_bool", "as_ints", "as_bools", "as_string"):
        return value
    if kind == "as_floats":
        return [float(entry) for entry in value]
    if kind == "as_scalar_type":
        return getattr(torch, _TYPES[value])
    if kind == "as_memory_format":
        return getattr(torch, _MEMORY_FORMATS[value])
    if kind == "as_layout" and value == _STRIDED:
        return torch.strided
    if kind == "as_device":
        return torch.device("cpu")
    raise ValueError(f"{kind} is a kind of argument that kit does not read")


def _reference(entry: OperandValue) -> OperandValue:
    if "as_int" in entry:
        return entry["as_int"]
    return Ref(str(entry["as_name"] if "as_name" in entry else entry["name"]))
