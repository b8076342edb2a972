"""Calibration of a prepared graph, the same for torch.ao and PT2E."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.fx import GraphModule


def calibrate(prepared: GraphModule, images: Tensor, output_observer: Callable[[], Any]) -> None:
    """Show every picture to the observers, one at a time.

    The model's output gets a min-max observer first: a histogram would clip the rare, large
    logits, which are the answers.
    """
    _set_output_observer(prepared, output_observer())
    for i in range(len(images)):
        prepared(images[i : i + 1])


def widen_output(prepared: GraphModule, factor: float) -> None:
    """Multiply the observed range of the model's output by a factor."""
    observer: Any = prepared.get_submodule(_output_observer(prepared))
    observer.min_val.mul_(factor)
    observer.max_val.mul_(factor)


def _output_observer(prepared: GraphModule) -> str:
    output = next(n for n in reversed(prepared.graph.nodes) if n.op == "output")
    node = output.all_input_nodes[0]
    return str(node.target)


def _set_output_observer(prepared: GraphModule, observer: nn.Module) -> None:
    prepared.set_submodule(_output_observer(prepared), observer)
