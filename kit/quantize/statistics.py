"""Statistics of tensors, collected in one pass for several algorithms.

An algorithm passes a `Statistic` to `collect`. Statistics of the same state of the graph share a
pass: the observers that set activation ranges, and the extremes for the coverage of a calibration
set. A correction changes the graph, so its statistics cannot share a pass with later ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from kit.quantize.nodes import NodeValue, is_quantized_later, name_node

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule, Node

    from kit.quantize.examples import Call
    from kit.quantize.observers import Observer


class Statistic(Protocol):
    """A statistic of the tensors of a graph."""

    def wants(self, node: Node) -> bool:
        """Whether it uses the output of a node."""
        ...

    def add(self, node: Node, value: Tensor) -> None:
        """Add a node's tensor of some examples, without changing it."""
        ...


def collect(model: GraphModule, parts: Iterable[Call], statistics: Sequence[Statistic]) -> None:
    """Run a graph over examples once, and add tensors to the statistics that use them.

    Args:
        model: in eval mode.
        parts: arguments of each call.
        statistics: of this graph.
    """
    import torch
    from torch import fx

    by_node = {
        node: takers
        for node in model.graph.nodes
        if (takers := [one for one in statistics if one.wants(node)])
    }

    class Visitor(fx.Interpreter):
        def run_node(self, n: Node) -> NodeValue:
            value = super().run_node(n)
            if isinstance(value, torch.Tensor):
                for statistic in by_node.get(n, ()):
                    statistic.add(n, value)
            return value

    visitor = Visitor(model)
    with torch.no_grad():
        for part in parts:
            visitor.run(*part)


class Extremes:
    """Minimum and maximum of every tensor that has a range.

    Attributes:
        ends: by the tensor's name.
    """

    def __init__(self) -> None:
        self.ends: dict[str, tuple[float, float]] = {}

    def wants(self, node: Node) -> bool:
        """Whether a tensor has a range of its own."""
        return is_quantized_later(node)

    def add(self, node: Node, value: Tensor) -> None:
        """Widen the ends to hold a tensor."""
        low, high = (float(end) for end in value.aminmax())
        ends = self.ends.get(name_node(node), (low, high))
        self.ends[name_node(node)] = min(ends[0], low), max(ends[1], high)


class Observed:
    """Statistics of the observers of torch's packages, such as histograms.

    Attributes:
        observers: by the tensor's name; each is called with the tensor.
    """

    def __init__(self, observers: Mapping[str, Observer]) -> None:
        self.observers = observers

    def wants(self, node: Node) -> bool:
        """Whether a tensor has an observer."""
        return is_quantized_later(node) and name_node(node) in self.observers

    def add(self, node: Node, value: Tensor) -> None:
        """Call the observer of a tensor."""
        self.observers[name_node(node)](value)


class Outside:
    """Number of values of each tensor that are outside a range.

    Attributes:
        beyond: such values, by the tensor's name.
        total: all values.
    """

    def __init__(self, ends: Mapping[str, tuple[float, float]]) -> None:
        self._ends = ends
        self.beyond: dict[str, int] = {}
        self.total: dict[str, int] = {}

    def wants(self, node: Node) -> bool:
        """Whether a tensor has a known range."""
        return is_quantized_later(node) and name_node(node) in self._ends

    def add(self, node: Node, value: Tensor) -> None:
        """Count a tensor's values."""
        name = name_node(node)
        low, high = self._ends[name]
        outside = (value < low) | (value > high)
        self.beyond[name] = self.beyond.get(name, 0) + int(outside.sum())
        self.total[name] = self.total.get(name, 0) + value.numel()
