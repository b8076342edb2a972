"""Calibration of a prepared graph, the same for torch.ao and PT2E."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kit.manifest import Range
from kit.quantize._ranges import find

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.fx import GraphModule


def calibrate(prepared: GraphModule, images: Tensor, output_observer: Callable[[], Any]) -> None:
    """Show every picture to the observers, one at a time.

    The model's output gets a min-max observer first: a histogram would clip the rare, large
    logits, which are the answers. An output that stays float has none.
    """
    if (name := _output_observer(prepared)) is not None:
        _replace(prepared, name, output_observer())
    for i in range(len(images)):
        prepared(images[i : i + 1])


def impose(prepared: GraphModule, ranges: tuple[Range, ...]) -> int:
    """Give observed tensors the ranges that were chosen for them; return how many got one."""
    imposed = 0
    for module in prepared.modules():
        if hasattr(module, "chosen") and (found := find(ranges, module.seen())):
            module.chosen = found.low, found.high
            imposed += 1
    return imposed


def widen_output(prepared: GraphModule, factor: float) -> None:
    """Multiply the observed range of the model's output by a factor."""
    if (name := _output_observer(prepared)) is not None:
        observer: Any = prepared.get_submodule(name)
        observer.min_val.mul_(factor)
        observer.max_val.mul_(factor)


def _output_observer(prepared: GraphModule) -> str | None:
    node = prepared.graph.output_node().all_input_nodes[0]
    observes = node.op == "call_module" and hasattr(
        prepared.get_submodule(str(node.target)), "calculate_qparams"
    )
    return str(node.target) if observes else None


def _replace(prepared: GraphModule, name: str, observer: nn.Module) -> None:
    """Replace an observer under all its names: operators that only move values share one."""
    old = prepared.get_submodule(name)
    for other, module in list(prepared.named_modules(remove_duplicate=False)):
        if module is old:
            prepared.set_submodule(other, observer)
