"""Lay a graph out downwards: an order of its nodes, and a lane for each tensor beside them.

Like the graph of a version control system: a tensor has a lane from the node that writes it to the
last one that reads it. Time and space grow with the number of nodes, so that graphs of thousands
stay readable.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kit.formats.structure import GraphEntry, NodeEntry

MAX_LANES = 24  # tensors beyond are not drawn; the links of a node name them


@dataclass(frozen=True)
class LaneRow:
    """A node and the lanes beside it.

    Attributes:
        node: its position in the graph.
        constant: it depends on constants only, so that runtimes compute it once.
        above: lanes that come in from above.
        below: lanes that go on below.
        reads: lanes of tensors that the node reads.
        writes: lanes of tensors that it writes.
    """

    node: int
    constant: bool
    above: tuple[int, ...] = ()
    below: tuple[int, ...] = ()
    reads: tuple[int, ...] = ()
    writes: tuple[int, ...] = ()

    @property
    def dot(self) -> int:
        """The lane in which the node is."""
        return next(iter((*self.writes, *self.reads)), 0)


def lay_out(graph: GraphEntry) -> list[LaneRow]:
    """Return the rows of a graph's nodes, in an order of execution."""
    constant = _find_constant(graph)
    order = _order(graph.nodes, constant)
    last = _find_last_readers(graph, order)
    lanes = _Lanes()
    for tensor in graph.inputs:
        if last.get(tensor.name, -1) >= 0:
            lanes.take(tensor.name)
    return [
        _lay_row(graph.nodes[node], node, place, node in constant, last, lanes)
        for place, node in enumerate(order)
    ]


class _Lanes:
    """The lanes that are in use, by tensor."""

    def __init__(self) -> None:
        self.by_tensor: dict[str, int] = {}
        self._used: set[int] = set()

    def take(self, tensor: str) -> None:
        """Give a tensor the leftmost free lane, if one is left."""
        if tensor in self.by_tensor:
            return
        lane = next((n for n in range(MAX_LANES) if n not in self._used), None)
        if lane is not None:
            self._used.add(lane)
            self.by_tensor[tensor] = lane

    def free(self, tensor: str) -> None:
        """Give a tensor's lane back."""
        lane = self.by_tensor.pop(tensor, None)
        if lane is not None:
            self._used.discard(lane)

    def list_used(self) -> tuple[int, ...]:
        return tuple(sorted(self._used))

    def find(self, tensors: Iterable[str]) -> tuple[int, ...]:
        sources = (self.by_tensor[one] for one in tensors if one in self.by_tensor)
        return tuple(dict.fromkeys(sources))


def _lay_row(
    node: NodeEntry, number: int, place: int, constant: bool, last: dict[str, int], lanes: _Lanes
) -> LaneRow:
    above, reads = lanes.list_used(), lanes.find(node.inputs)
    if constant:  # its lane would end a line below
        return LaneRow(number, constant, above, above)
    for tensor in node.inputs:
        if last.get(tensor, -1) <= place:
            lanes.free(tensor)
    for tensor in node.outputs:
        if last.get(tensor, -1) > place:
            lanes.take(tensor)
    return LaneRow(number, constant, above, lanes.list_used(), reads, lanes.find(node.outputs))


def _find_constant(graph: GraphEntry) -> set[int]:
    """Return the nodes that depend on no input of the graph, in a graph whose edges are known."""
    if not any(node.outputs for node in graph.nodes):
        return set()
    variable = {tensor.name for tensor in graph.inputs}
    constant = set()
    for number, node in enumerate(graph.nodes):
        if variable.isdisjoint(node.inputs):
            constant.add(number)
        else:
            variable.update(node.outputs)
    return constant if len(constant) < len(graph.nodes) else set()


def _order(nodes: Sequence[NodeEntry], constant: set[int]) -> list[int]:
    """Return the nodes in the file's order, constant ones right before the first that reads them.

    Files have the constant ones first, all together, which would draw a lane for each of them.
    """
    writer = {name: number for number in constant for name in nodes[number].outputs}
    order: list[int] = []
    placed: set[int] = set()
    for number, node in enumerate(nodes):
        if number in constant:
            continue
        order += _collect(node, nodes, writer, placed)
        order.append(number)
    return [*order, *sorted(constant - placed)]


def _collect(
    node: NodeEntry, nodes: Sequence[NodeEntry], writer: dict[str, int], placed: set[int]
) -> list[int]:
    """Return the constant nodes that a node needs and that are not placed, in the file's order."""
    needed: set[int] = set()
    pending = deque(node.inputs)
    while pending:
        number = writer.get(pending.popleft())
        if number is not None and number not in placed:
            placed.add(number)
            needed.add(number)
            pending.extend(nodes[number].inputs)
    return sorted(needed)


def _find_last_readers(graph: GraphEntry, order: Sequence[int]) -> dict[str, int]:
    """Return the place of the last node that reads each tensor; outputs are read at the end."""
    last = {
        name: place for place, node in enumerate(order) for name in graph.nodes[node].inputs if name
    }
    return last | {tensor.name: len(order) for tensor in graph.outputs}
