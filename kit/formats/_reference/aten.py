"""A float model as data: a list of ATen calls and the tensors they use.

Each operator is looked up in `torch.ops.aten`, and refused if it is not on tensors. Running calls
the operators one after the other, like eager PyTorch does, so the answers are the model's own bit
for bit. `kit.formats._reference.aten_file` reads and writes such models.

Source: https://docs.pytorch.org/docs/stable/export.html (the graph that `torch.export` gives)
"""

from __future__ import annotations

import functools
import operator
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kit.error_text import get_first_line
from kit.errors import BundleError, RunError

if TYPE_CHECKING:
    from torch import Tensor


# Values of operators, and JSON: using a value of an invalid file raises errors that the readers
# of files translate.
OperandValue = Any
# Arithmetic on sizes, which an exported graph also has.
ON_SIZES: dict[str, Callable[..., OperandValue]] = {
    f"operator.{name}": getattr(operator, name)
    for name in ("add", "sub", "mul", "floordiv", "truediv", "mod", "neg")
}
_MAX_SIZE = 2**63 - 1  # torch's limit
GET_ITEM = "operator.getitem"  # of an operator with several results
# Arguments that may be strings. `aten::from_file(str filename)` must not be among them.
_TEXTS = {
    *("approximate", "equation", "indexing", "mode", "norm", "pad_mode", "padding"),
    *("padding_mode", "padding_side", "reduce", "rounding_mode", "side"),
}


@dataclass(frozen=True)
class Call:
    """One operator applied to values; refs are instances of `Ref`."""

    op: str
    result: str
    args: tuple[object, ...]
    kwargs: Mapping[str, object]


@dataclass(frozen=True)
class Ref:
    """A tensor or size by its name."""

    name: str


@dataclass(frozen=True)
class Graph:
    """Calls in the order in which they run."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    calls: tuple[Call, ...]


class AtenModel:
    """A graph with its tensors; call it with one tensor per input.

    Args:
        graph: the calls.
        tensors: by name, for every name that is neither an input nor a result.

    Raises:
        BundleError: an operator is not on tensors, or a name is undefined.
    """

    def __init__(self, graph: Graph, tensors: Mapping[str, Tensor]) -> None:
        self._graph, self._tensors = graph, dict(tensors)
        unused = _last_uses(graph)
        self._steps = [
            (_function(call), call, unused.get(index, ())) for index, call in enumerate(graph.calls)
        ]

    def count_operators(self) -> dict[str, int]:
        """Return the number of calls of each operator."""
        counts = Counter(call.op for call in self._graph.calls)
        return dict(sorted(counts.items()))

    def __call__(self, *inputs: Tensor) -> OperandValue:
        """Return the output, or a tuple of several.

        Raises:
            RunError: an operator fails, or it takes another number of inputs.
        """
        if len(inputs) != len(self._graph.inputs):
            raise RunError(
                f"the float model takes {len(self._graph.inputs)} inputs, not {len(inputs)}",
                "build the bundle again",
            )
        values: dict[str, object] = {
            **self._tensors,
            **dict(zip(self._graph.inputs, inputs, strict=True)),
        }
        for function, call, unused in self._steps:
            args = [_resolve(arg, values) for arg in call.args]
            kwargs = {name: _resolve(arg, values) for name, arg in call.kwargs.items()}
            try:
                values[call.result] = function(*args, **kwargs)
            except Exception as exc:  # operators raise various errors
                raise RunError(
                    f"the float model fails at {call.op}: {get_first_line(exc)}",
                    "build the bundle again, or free some memory",
                ) from exc
            for name in unused:
                del values[name]
        outputs = tuple(values[name] for name in self._graph.outputs)
        return outputs if len(outputs) > 1 else outputs[0]


def _resolve(value: object, values: Mapping[str, object]) -> object:
    if isinstance(value, Ref):
        return values[value.name]
    return [_resolve(item, values) for item in value] if isinstance(value, list) else value


def _last_uses(graph: Graph) -> dict[int, tuple[str, ...]]:
    """Return, by the index of a call, the results that are not used after it.

    Raises:
        BundleError: a name is used before its definition.
    """
    last: dict[str, int] = {}
    for index, call in enumerate(graph.calls):
        last[call.result] = index
        for name in _names((*call.args, *call.kwargs.values())):
            if name in last:
                last[name] = index
    freed: dict[int, list[str]] = {}
    for name, index in last.items():
        if name not in graph.outputs:
            freed.setdefault(index, []).append(name)
    return {index: tuple(names) for index, names in freed.items()}


def _names(values: Sequence[object]) -> list[str]:
    names: list[str] = []
    for value in values:
        if isinstance(value, Ref):
            names.append(value.name)
        elif isinstance(value, list):
            names += _names(value)
    return names


def _function(call: Call) -> Callable[..., object]:
    """Look up an operator.

    Raises:
        BundleError: there is none of that name, or a string argument could be a path.
    """
    import torch

    if call.op == GET_ITEM:
        return _item
    if call.op in ON_SIZES:
        return functools.partial(_compute, ON_SIZES[call.op])
    space, _, rest = call.op.partition(".")
    name, _, overload = rest.partition(".")
    packet = getattr(torch.ops.aten, name, None) if space == "aten" else None
    if not isinstance(packet, torch._ops.OpOverloadPacket) or overload not in packet.overloads():
        raise BundleError(f"{call.op!r} is no operator of torch", "build it again")
    function = getattr(packet, overload)
    for index, argument in enumerate(function._schema.arguments):
        value = call.args[index] if index < len(call.args) else call.kwargs.get(argument.name)
        texts = [one for one in (value if isinstance(value, list) else [value]) if type(one) is str]
        if texts and (isinstance(value, list) or argument.name not in _TEXTS):
            raise BundleError(
                f"{call.op} takes no text as {argument.name}, here {texts[0]!r}",
                "do not use this bundle",
            )
    checked_function: Callable[..., object] = function
    return checked_function


def _item(values: Sequence[object], index: int) -> object:
    return values[index]


def _compute(function: Callable[..., object], *numbers: object) -> object:
    """Compute with sizes only, as multiplying lists could exhaust the memory."""
    import torch

    if not all(isinstance(number, int | float | torch.Tensor) for number in numbers):
        raise TypeError(f"{numbers} are not numbers")
    result = function(*numbers)
    if isinstance(result, int) and abs(result) > _MAX_SIZE:  # repeated squaring would take forever
        raise OverflowError(f"a size is a number of {result.bit_length()} bits")
    return result


def check_graph(graph: Graph, tensors: Mapping[str, Tensor]) -> AtenModel:
    """Check that all names are defined before their use, and return the model.

    Raises:
        BundleError: one is not, or see `AtenModel`.
    """
    defined = {*tensors, *graph.inputs}
    for call in graph.calls:
        missing = set(_names((*call.args, *call.kwargs.values()))) - defined
        if missing:
            raise BundleError(f"nothing defines {min(missing)!r}", "build it again")
        defined.add(call.result)
    if not graph.outputs or not set(graph.outputs) <= defined:
        raise BundleError("the float model has no output", "build it again")
    return AtenModel(graph, tensors)
