"""The file of a float model: its graph of ATen calls and the tensors they use.

The file is safetensors with the graph as JSON in its metadata. Nothing in it is unpickled,
compiled or evaluated.

    {"version": 1, "inputs": ["x"], "outputs": ["linear"],
     "calls": [{"op": "aten.relu.default", "result": "relu", "args": [{"ref": "x"}],
                "kwargs": {}}, ...]}

`inputs` are given by the caller in this order; every other name that is not a result is a
tensor of the file. A value is a number, a string, a list, ``{"ref": NAME}``, or one of
torch's own constants, as ``{"dtype": "float32"}``.

Source: https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import BundleError
from kit.formats._reference.aten import AtenModel, Call, Graph, OperandValue, Ref, check_graph

if TYPE_CHECKING:
    from torch import Tensor


VERSION = 1
_KEY = "kit.aten"
_CONSTANTS = ("dtype", "memory_format", "layout")


def save_graph(graph: Graph, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write a file that `load_model` reads."""
    from safetensors.torch import save_file

    text = json.dumps(
        {
            "version": VERSION,
            "inputs": graph.inputs,
            "outputs": graph.outputs,
            "calls": [
                {
                    "op": call.op,
                    "result": call.result,
                    "args": [_dump(arg) for arg in call.args],
                    "kwargs": {name: _dump(arg) for name, arg in call.kwargs.items()},
                }
                for call in graph.calls
            ],
        },
        allow_nan=False,
    )
    # Copies, because safetensors refuses weights that share memory.
    copies = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
    save_file(copies, path, {_KEY: text})


def _dump(value: object) -> object:
    import torch

    if isinstance(value, Ref):
        return {"ref": value.name}
    if isinstance(value, list):
        return [_dump(item) for item in value]
    if isinstance(value, torch.dtype | torch.memory_format | torch.layout):
        kind = type(value).__name__
        return {kind: str(value).removeprefix("torch.")}
    if isinstance(value, torch.device):
        return {"device": "cpu"}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    return value


def load_model(path: Path) -> AtenModel:
    """Read a model.

    Raises:
        BundleError: it is damaged, of a newer version, or calls functions other than operators
            on tensors.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_KEY)
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        graph = _parse(json.loads(text or "{}"))
    except (
        *(SafetensorError, OSError, ValueError, KeyError),
        *(TypeError, AttributeError, RecursionError),
    ) as exc:
        raise BundleError(
            f"{path} is not the float model of a bundle: {exc}", "build it again"
        ) from exc
    return check_graph(graph, tensors)


def _parse(raw: OperandValue) -> Graph:
    if type(raw["version"]) is not int or raw["version"] != VERSION:
        raise ValueError(f"its version is {raw['version']!r}, not {VERSION}")
    calls = [
        Call(
            str(call["op"]),
            str(call["result"]),
            tuple(_value(arg) for arg in call["args"]),
            {str(name): _value(arg) for name, arg in call["kwargs"].items()},
        )
        for call in raw["calls"]
    ]
    return Graph(tuple(map(str, raw["inputs"])), tuple(map(str, raw["outputs"])), tuple(calls))


def _value(raw: object) -> object:
    import torch

    if isinstance(raw, list):
        return [_value(item) for item in raw]
    if not isinstance(raw, dict):
        return raw
    ((kind, text),) = raw.items()
    if kind == "ref":
        return Ref(str(text))
    if kind == "float":
        return float(text)
    if kind == "device":
        return torch.device("cpu")
    constant = getattr(torch, str(text), None)
    if kind not in _CONSTANTS or type(constant).__name__ != kind:
        raise ValueError(f"{raw} is no value")
    return constant
