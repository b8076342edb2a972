"""Compile a module: trace it, or script it where its control flow depends on its input.

A trace is a record of one call: it has one side of each branch, a fixed number of turns of each
loop, and none of the module's state. It is exact for graphs, which have nothing of these, and for
modules that compile to code without them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from kit.error_text import describe_exception
from kit.errors import BuildError
from kit.formats.fixed_sizes import fix_sizes, keep_sizes

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.jit import ScriptModule

How = Literal["traced", "scripted"]
IrNode = Any  # torch has no types for its IR
IrBlock = IrNode

# Operators that turn a tensor's values into a number that branches and loops decide on. Those that
# depend on shapes only, as in many layers, are the same in each call of a signature.
_READS = {
    "aten::Bool",
    "aten::Int",
    "aten::Float",
    "aten::item",
    "aten::is_nonzero",
    "prim::tolist",
}
_LIST_CHANGES = {
    *("aten::append", "aten::insert", "aten::extend", "aten::pop", "aten::clear", "aten::remove"),
    *("aten::_set_item", "aten::Delete"),
}


def compile_module(
    module: nn.Module, example: tuple[Tensor, ...], fixed: bool = True
) -> tuple[ScriptModule, How]:
    """Return a frozen module and how it was compiled.

    Args:
        module: in eval mode; a graph, or any module.
        example: one call's inputs, for the trace.
        fixed: whether all calls have the sizes of the example.

    Raises:
        BuildError: the module decides on values and cannot be scripted.
    """
    import torch
    from torch import fx

    if isinstance(module, fx.GraphModule):  # a graph has no control flow and no state
        with torch.inference_mode():
            graph = fix_sizes(module.eval(), example) if fixed else keep_sizes(module)
        return _trace(graph, example), "traced"
    try:
        script: ScriptModule = torch.jit.freeze(torch.jit.script(module.eval()))
    except Exception as exc:  # noqa: BLE001 - torch's compiler raises various errors
        return _trace_checked(module, example, exc), "traced"
    if describe_script(script) == "scripted":
        return script, "scripted"
    return _trace(module, example), "traced"


def describe_script(script: ScriptModule) -> How:
    """Return ``scripted`` for a module that decides on values or changes its attributes."""
    nodes = _walk(script.inlined_graph)
    return "scripted" if any(_decides(node) or _remembers(node) for node in nodes) else "traced"


def _decides(node: IrNode) -> bool:
    return node.kind() in _READS and any(str(i.type()) == "Tensor" for i in node.inputs())


def _remembers(node: IrNode) -> bool:
    """Whether a node sets an attribute, or changes a list or table that is one."""
    if node.kind() == "prim::SetAttr":
        return True
    changed = next(iter(node.inputs()), None) if node.kind() in _LIST_CHANGES else None
    return changed is not None and changed.node().kind() == "prim::GetAttr"


def optimize(script: ScriptModule) -> ScriptModule:
    """Return a float32 module with its convolutions laid out for this processor; others as it is.

    `torch.jit.optimize_for_inference` packs weights in a way that no file can hold, so that it is
    done to each module as it is loaded: MobileNetV2 loads slower and runs faster (docs/formats.md).
    Modules with state are left alone.
    """
    import torch

    if describe_script(script) == "scripted" or not _is_float(script):
        return script
    optimized: ScriptModule = torch.jit.optimize_for_inference(script)
    return optimized


def _is_float(script: ScriptModule) -> bool:
    """Whether a module has convolutions, and no other weights than float32 ones."""
    import torch

    kinds, dtypes = set(), set()
    for node in _walk(script.inlined_graph):
        kinds.add(node.kind())
        value = node.output().toIValue() if node.kind() == "prim::Constant" else None
        if isinstance(value, torch.Tensor):
            dtypes.add(value.dtype)
    convolves = any("conv" in kind for kind in kinds)
    return convolves and dtypes == {torch.float32} and not any("quantized" in k for k in kinds)


def _walk(block: IrBlock) -> Iterator[IrNode]:
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _walk(inner)


def _trace(module: nn.Module, example: tuple[Tensor, ...]) -> ScriptModule:
    import torch

    with torch.inference_mode():
        # Whether it answers as the graph is verified later, in the runtime.
        traced = torch.jit.trace(module.eval(), example, check_trace=False)
        script: ScriptModule = torch.jit.freeze(traced)
        return script


def _trace_checked(
    module: nn.Module, example: tuple[Tensor, ...], reason: Exception
) -> ScriptModule:
    """Trace a module that cannot be scripted, unless it decides on values.

    Raises:
        BuildError: it does.
    """
    from torch.jit._trace import TracerWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        traced = _trace(module, example)
    if any(issubclass(one.category, TracerWarning) for one in caught):
        raise BuildError(
            f"{type(module).__name__} decides on the values of tensors, which a trace would not, "
            f"and torch.jit.script cannot compile it: {describe_exception(reason).splitlines()[0]}",
            "write its forward in the part of Python that torch.jit.script takes",
        ) from reason
    return traced
