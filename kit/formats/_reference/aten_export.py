"""Translate an exported program to a graph of ATen calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.errors import BuildError
from kit.formats._reference.aten import GET_ITEM, ON_SIZES, Call, Graph, Ref

if TYPE_CHECKING:
    from torch import Tensor, fx
    from torch.export import ExportedProgram


def from_program(program: ExportedProgram) -> tuple[Graph, dict[str, Tensor]]:
    """Return the graph and the tensors of an exported program.

    Raises:
        BuildError: it calls functions other than operators on tensors.
    """
    from torch.export.graph_signature import InputKind

    signature = program.graph_signature
    inputs, tensors = [], {}
    for spec in signature.input_specs:
        name = spec.arg.name
        if spec.kind == InputKind.USER_INPUT:
            inputs.append(name)
        elif spec.kind in (InputKind.PARAMETER, InputKind.BUFFER):
            tensors[name] = _tensor_of(program, str(spec.target))
        elif spec.kind == InputKind.CONSTANT_TENSOR:
            tensors[name] = program.constants[str(spec.target)]
        else:
            raise _unknown(f"its input {name} is a {spec.kind.name.lower()}")
    outputs = tuple(signature.user_outputs)
    used, calls = set(outputs), []
    for node in reversed(program.graph.nodes):
        if node.op in ("placeholder", "output") or not (node.name in used or _has_effect(node)):
            continue
        calls.append(_call(node))
        used.update(argument.name for argument in node.all_input_nodes)
    graph = Graph(tuple(inputs), outputs, tuple(reversed(calls)))
    return graph, {name: tensor for name, tensor in tensors.items() if name in used}


def _tensor_of(program: ExportedProgram, target: str) -> Tensor:
    state = program.state_dict
    tensor: Tensor = state[target] if target in state else program.constants[target]
    return tensor


def _has_effect(node: fx.Node) -> bool:
    """Return whether a node with an unused result writes to a tensor."""
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.is_mutable


def _call(node: fx.Node) -> Call:
    import torch

    target = node.target
    if node.op != "call_function":
        raise _unknown(f"{node.format_node()} is no operator")
    if isinstance(target, torch._ops.OpOverload):
        op = str(target)
    else:
        op = f"operator.{getattr(target, '__name__', target)}"
    if op not in (*ON_SIZES, GET_ITEM) and not op.startswith("aten."):
        raise _unknown(f"{op} is none of torch's own operators")
    args = tuple(_encodable(arg) for arg in node.args)
    return Call(op, node.name, args, {name: _encodable(arg) for name, arg in node.kwargs.items()})


def _encodable(value: object) -> object:
    """Return an argument with nodes replaced by refs; text and torch's constants stay.

    Raises:
        BuildError: it is of an unsupported type.
    """
    import torch
    from torch import fx

    if isinstance(value, fx.Node):
        return Ref(value.name)
    if isinstance(value, list | tuple):
        return [_encodable(item) for item in value]
    kinds = (bool, int, float, str, torch.dtype, torch.memory_format, torch.layout, torch.device)
    if value is None or isinstance(value, kinds):
        return value
    raise _unknown(f"{value!r} is an argument of the kind {type(value).__name__}")


def _unknown(what: str) -> BuildError:
    return BuildError(
        f"the float model cannot be written as data: {what}",
        "replace that part of the model by operators of torch",
    )
