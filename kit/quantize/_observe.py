"""Calibration of a prepared graph, the same for torch.ao and PT2E."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kit.manifest import Range
from kit.quantize._contract import Options
from kit.quantize._observers import FIRST, Looks
from kit.quantize._ranges import find, is_of

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.fx import GraphModule


def calibrate(
    prepared: GraphModule, images: Tensor, options: Options, output_observer: Callable[[], Any]
) -> int:
    """Show the pictures to the observers, one at a time, until each has its range.

    Tensors whose ranges were chosen already are recognized by a few pictures; only where some
    are not, all pictures are shown to these.

    The model's output gets a min-max observer first: a histogram would clip the rare, large
    logits, which are the answers. An output that stays float has none.

    Returns:
        How many tensors have a range that was chosen.
    """
    if (name := _output_observer(prepared)) is not None:
        _replace(prepared, name, output_observer())
    searching: list[Any] = [m for m in prepared.modules() if hasattr(m, "chosen")]
    imposed = _impose(prepared, searching, images, options.ranges) if options.ranges else 0
    complete = bool(options.ranges) and imposed == len(searching)
    if complete and (name is None or _impose_output(prepared, name, options.ranges[-1])):
        return imposed
    _show(prepared, images)
    _widen_output(prepared, options.output_margin)
    return imposed


def _show(prepared: GraphModule, images: Tensor) -> None:
    for i in range(len(images)):
        prepared(images[i : i + 1])


def _impose(
    prepared: GraphModule, searching: list[Any], images: Tensor, ranges: tuple[Range, ...]
) -> int:
    """Give observers the ranges that were chosen for their tensors; return how many got one."""
    for observer in searching:
        observer.looks = Looks()
    _show(prepared, images[:FIRST])
    imposed = 0
    for observer in searching:
        if found := find(ranges, observer.looks.seen()):
            observer.chosen = found.low, found.high
            imposed += 1
        observer.looks = None
    return imposed


def _impose_output(prepared: GraphModule, name: str, output: Range) -> bool:
    """Give the output the range of the simulation, which was widened; return whether it is its."""
    observer: Any = prepared.get_submodule(name)
    ends = float(observer.min_val), float(observer.max_val)
    if not is_of(output, (*ends, output.seen[2])):
        return False
    observer.min_val.fill_(output.low)
    observer.max_val.fill_(output.high)
    return True


def _widen_output(prepared: GraphModule, factor: float) -> None:
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
