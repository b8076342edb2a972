"""Embedding tables of int8 rows, each with a scale of its own.

A language model's table is often half of its weights, and reading a row of it takes hardly any
time. Rows are looked up as integers and multiplied by their scale, with operators that every
format has; torch's own `embedding_byte` only torch's runtimes have. A row keeps some 48 dB.
"""

from __future__ import annotations

import copy
import operator
from typing import TYPE_CHECKING, cast

from kit.quantize.exporting import name_operator
from kit.quantize.nodes import as_node, choose_free_name, list_member_names

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.fx import GraphModule, Node

STEPS = 127
_ARGUMENTS = ("input", "weight", "padding_idx", "max_norm")  # of torch's function, in order


def quantize_embeddings(model: GraphModule) -> tuple[GraphModule, int]:
    """Return a copy whose embedding tables have int8 rows, and how many tables there are.

    Tables that are used in another way too keep their float weights for that use. The model itself
    is returned if it has none.
    """
    if not _find_lookups(model):
        return model, 0
    made = copy.deepcopy(model)
    tables: dict[str, tuple[str, str]] = {}
    for node, weight_name, indices in _find_lookups(made):
        if weight_name not in tables:
            tables[weight_name] = _add_table(made, weight_name, len(tables))
        _look_up(made, node, indices, *tables[weight_name])
    made.graph.eliminate_dead_code()
    made.delete_all_unused_submodules()
    _drop_unused(made, tables)
    made.recompile()
    return made, len(tables)


def _find_lookups(model: GraphModule) -> list[tuple[Node, str, Node]]:
    """Return the nodes that look up rows of a constant table, its name, and their indices."""
    from torch import nn

    modules, matches = dict(model.named_modules()), []
    for node in model.graph.nodes:
        if node.op == "call_module":
            module = modules[str(node.target)]
            if isinstance(module, nn.Embedding) and module.max_norm is None:
                (indices,) = node.all_input_nodes
                matches.append((node, f"{node.target}.weight", indices))
        elif node.op == "call_function" and name_operator(node) == "embedding":
            arguments = _name_arguments(node)
            table = arguments["weight"]
            if getattr(table, "op", "") == "get_attr" and not arguments.get("max_norm"):
                name = str(cast("Node", table).target)
                matches.append((node, name, as_node(arguments["input"])))
    return matches


def _name_arguments(node: Node) -> dict[str, object]:
    """Return the arguments of a function by name, in whichever way they are passed.

    Aten's takes the table first and has no `max_norm`, Python's takes the indices first.
    """
    import torch

    if isinstance(node.target, torch._ops.OpOverload):
        return {"weight": node.args[0], "input": node.args[1]}
    return {**dict(zip(_ARGUMENTS, node.args, strict=False)), **node.kwargs}


def _add_table(model: GraphModule, weight_name: str, number: int) -> tuple[str, str]:
    """Add the levels [rows, width] and scales [rows, 1] of a table; return their names."""
    import torch

    owner, _, name = weight_name.rpartition(".")
    weight = getattr(model.get_submodule(owner), name).detach()
    scales = (weight.abs().amax(1, keepdim=True) / STEPS).clamp_min(1e-12)
    levels = (weight / scales).round().to(torch.int8)
    names = []
    for what, value in (("levels", levels), ("scales", scales)):
        names.append(choose_free_name(f"embedding_{number}_{what}", list_member_names(model)))
        model.register_buffer(names[-1], value)
    return names[0], names[1]


def _look_up(model: GraphModule, node: Node, indices: Node, levels: str, scales: str) -> None:
    import torch

    graph = model.graph
    with graph.inserting_before(node):
        rows, factors = (
            graph.call_function(torch.nn.functional.embedding, (indices, graph.get_attr(name)))
            for name in (levels, scales)
        )
        wide = graph.call_method("to", (rows, torch.float32))
        product = graph.call_function(operator.mul, (wide, factors))
    node.replace_all_uses_with(product)
    graph.erase_node(node)


def _drop_unused(model: GraphModule, tables: dict[str, tuple[str, str]]) -> None:
    """Remove float tables that nothing reads any more, which files would still contain."""
    read = {str(node.target) for node in model.graph.nodes if node.op == "get_attr"}
    called = {str(node.target) for node in model.graph.nodes if node.op == "call_module"}
    for name in tables:
        owner, _, attribute = name.rpartition(".")
        module: nn.Module = model.get_submodule(owner) if _has(model, owner) else model
        if name not in read and owner not in called and hasattr(module, attribute):
            delattr(module, attribute)


def _has(model: torch.nn.Module, name: str) -> bool:
    return name in dict(model.named_modules())
