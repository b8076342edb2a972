"""Statistics of tensors: algorithms say which they need, and one pass serves all of them.

An algorithm that has to know something about the tensors of a graph gives `collect` a
`Statistic`. Those of one state of the graph share a pass: the observers that set activation
ranges, and the extremes that tell what a calibration set covers. A correction changes the graph,
so that what it needs cannot share with what comes after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from kit.quantize.graph import Value, is_quantized_later, node_name

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule, Node

    from kit.quantize.examples import Call
    from kit.quantize.observers import Observer


class Statistic(Protocol):
    """What an algorithm needs to know about the tensors of a graph."""

    def wants(self, node: Node) -> bool:
        """Whether it looks at the tensor that a node makes."""
        ...

    def add(self, node: Node, value: Tensor) -> None:
        """Look at a tensor of some examples; it must not be changed."""
        ...


def collect(model: GraphModule, parts: Iterable[Call], statistics: Sequence[Statistic]) -> None:
    """Run a graph over examples once, and show every statistic the tensors that it wants.

    Args:
        model: in eval mode.
        parts: arguments of each call.
        statistics: of this graph.
    """
    import torch
    from torch import fx

    wanted = {
        node: takers
        for node in model.graph.nodes
        if (takers := [one for one in statistics if one.wants(node)])
    }

    class Visitor(fx.Interpreter):
        def run_node(self, n: Node) -> Value:
            value = super().run_node(n)
            if isinstance(value, torch.Tensor):
                for statistic in wanted.get(n, ()):
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
        ends = self.ends.get(node_name(node), (low, high))
        self.ends[node_name(node)] = min(ends[0], low), max(ends[1], high)


class Observed:
    """What the observers of torch's packages collect, such as histograms.

    Attributes:
        observers: by the tensor's name; each is called with the tensor.
    """

    def __init__(self, observers: Mapping[str, Observer]) -> None:
        self.observers = observers

    def wants(self, node: Node) -> bool:
        """Whether a tensor has an observer."""
        return is_quantized_later(node) and node_name(node) in self.observers

    def add(self, node: Node, value: Tensor) -> None:
        """Show a tensor to its observer."""
        self.observers[node_name(node)](value)


class Outside:
    """How many values of each tensor lie outside of known ends.

    Attributes:
        beyond: such values, by the tensor's name.
        total: all values.
    """

    def __init__(self, ends: Mapping[str, tuple[float, float]]) -> None:
        self._ends = ends
        self.beyond: dict[str, int] = {}
        self.total: dict[str, int] = {}

    def wants(self, node: Node) -> bool:
        """Whether a tensor has a range of its own."""
        return is_quantized_later(node)

    def add(self, node: Node, value: Tensor) -> None:
        """Count a tensor's values."""
        name = node_name(node)
        low, high = self._ends[name]
        outside = (value < low) | (value > high)
        self.beyond[name] = self.beyond.get(name, 0) + int(outside.sum())
        self.total[name] = self.total.get(name, 0) + value.numel()
