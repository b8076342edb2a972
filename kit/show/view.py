"""What the page shows of each graph and node, as text."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kit.formats.structure import GraphEntry, NodeEntry, TensorEncoding, TensorEntry
from kit.report.text import format_significant
from kit.show.lanes import LaneRow, lay_out
from kit.show.times import TimedOperator, Times

# The first that fits is taken: QuantizeLinear is no linear layer.
_FAMILIES = {
    "conv": ("conv",),
    "quant": ("quant", "convert"),
    "linear": ("gemm", "matmul", "linear", "fullyconnected", "fully_connected", "lstm", "gru"),
    "delegate": ("delegate",),
    "move": ("transpose", "reshape", "pad", "concat", "slice", "flatten", "list", "permute"),
}


@dataclass(frozen=True)
class TensorView:
    """A tensor that a node reads or writes.

    Attributes:
        name: of the tensor.
        about: type and encoding.
        links: ids of the nodes on the other side, with a word for each.
    """

    name: str
    about: str
    links: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class NodeView:
    """A node as it is shown.

    Attributes:
        id: in the page.
        family: of its operator, for the colour of its mark.
        type: of its first output.
        encoding: of its first output.
        weights: encoding of its constant inputs.
        us: microseconds of a call, as text; empty where it is not known.
        share: of the time of all operators, 0..1.
        link: id of the graph that a delegate computes; empty for other nodes.
        words: what the search looks at.
    """

    id: str
    number: int
    row: LaneRow
    operator: str
    name: str
    family: str
    type: str
    encoding: str
    weights: str
    us: str
    share: float
    inputs: tuple[TensorView, ...]
    outputs: tuple[TensorView, ...]
    parameters: Mapping[str, str]
    link: str
    words: str


@dataclass(frozen=True)
class GraphView:
    """A graph as it is shown.

    Attributes:
        id: in the page.
        counts: of operators, the most frequent first, with their share of the time: of their
            nodes, or of the kind where the runtime times whole kinds; 0 where it is not known.
        lanes: number of lanes of the widest row.
        constant: number of nodes that depend on constants only.
    """

    id: str
    graph: GraphEntry
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[NodeView, ...]
    counts: tuple[tuple[str, int, float], ...]
    lanes: int
    constant: int


def make_graph_view(graph: GraphEntry, ids: Mapping[str, str], times: Times | None) -> GraphView:
    """Return what is shown of a graph.

    Args:
        graph: to show.
        ids: of all graphs in the page, by name.
        times: of the file's operators.
    """
    rows = lay_out(graph)
    tensors = graph.list_tensors()
    prefix = ids[graph.name]
    edges = _find_edges(graph, prefix)
    nodes = tuple(
        _view_node(
            graph.nodes[row.node], row, prefix, tensors, edges, ids, _time(times, graph, row)
        )
        for row in rows
    )
    counts = Counter(node.operator for node in graph.nodes)
    shares = _sum_shares(graph, times)
    lanes = max((max((*row.above, *row.below, row.dot)) + 1 for row in rows), default=1)
    return GraphView(
        id=prefix,
        graph=graph,
        inputs=tuple(map(describe_tensor, graph.inputs)),
        outputs=tuple(map(describe_tensor, graph.outputs)),
        nodes=nodes,
        counts=tuple((name, count, shares[name]) for name, count in counts.most_common()),
        lanes=lanes,
        constant=sum(row.constant for row in rows),
    )


def _sum_shares(graph: GraphEntry, times: Times | None) -> dict[str, float]:
    """Return the share of the time of each operator."""
    shares: dict[str, float] = defaultdict(float)
    for one in times.operators if times else ():
        if one.node is None:
            shares[one.name] += one.share
        elif one.node[0] == graph.name:
            shares[graph.nodes[one.node[1]].operator] += one.share
    return shares


def describe_tensor(tensor: TensorEntry) -> str:
    """Return name, type and encoding of a tensor in one line."""
    named = f"{tensor.name}: {tensor.type}" if tensor.type else tensor.name
    return f"{named}, {describe_encoding(tensor.encoding)}" if tensor.encoding else named


def describe_encoding(encoding: TensorEncoding) -> str:
    """Return ``int8, 8 bits, scale 0.0235, zero point -128 (features.0.2)``."""
    bits = "" if encoding.bits is None else f", {encoding.bits} bits"
    source = f" ({encoding.source})" if encoding.source else ""
    scales, zeros = encoding.scales, encoding.zero_points
    if len(scales) == 1:
        numbers = f"scale {scales[0]:.4g}, zero point {zeros[0]}"
    else:
        listed = f"{len(scales)} scales of channels, {min(scales):.3g} to {max(scales):.3g}"
        same = sorted(set(zeros))
        zero = f"{same[0]}" if len(same) == 1 else f"{same[0]} to {same[-1]}"
        numbers = f"{listed}, zero point {zero}"
    return f"{encoding.dtype}{bits}, {numbers}{source}"


def find_family(operator: str) -> str:
    """Return the family of an operator, by its name."""
    name = operator.lower()
    return next((f for f, words in _FAMILIES.items() if any(w in name for w in words)), "other")


@dataclass(frozen=True)
class _Edges:
    """The nodes that write and read each tensor: id and operator."""

    writers: Mapping[str, tuple[str, str]]
    readers: Mapping[str, list[tuple[str, str]]]


def _find_edges(graph: GraphEntry, prefix: str) -> _Edges:
    writers: dict[str, tuple[str, str]] = {}
    readers: dict[str, list[tuple[str, str]]] = {}
    for number, node in enumerate(graph.nodes):
        place = (_id(prefix, number), f"{number} {node.operator}")
        writers.update(dict.fromkeys(filter(None, node.outputs), place))
        for name in dict.fromkeys(filter(None, node.inputs)):
            readers.setdefault(name, []).append(place)
    return _Edges(writers, readers)


def _id(prefix: str, number: int) -> str:
    return f"{prefix}-{number}"


def _time(times: Times | None, graph: GraphEntry, row: LaneRow) -> TimedOperator | None:
    return times.nodes.get((graph.name, row.node)) if times else None


def _view_node(
    node: NodeEntry,
    row: LaneRow,
    prefix: str,
    tensors: Mapping[str, TensorEntry],
    edges: _Edges,
    ids: Mapping[str, str],
    time: TimedOperator | None,
) -> NodeView:
    first = next((tensors[name] for name in node.outputs if name in tensors), None)
    constants = (
        tensors[name].encoding
        for name in node.inputs
        if name in tensors and name not in edges.writers and tensors[name].encoding
    )
    weights = next((one for one in constants if one is not None and len(one.scales) > 1), None)
    encoding = describe_encoding(first.encoding) if first and first.encoding else ""
    own = node.name or next(iter(node.outputs), "")
    return NodeView(
        id=_id(prefix, row.node),
        number=row.node,
        row=row,
        operator=node.operator,
        name=own,
        family=find_family(node.operator),
        type=first.type if first else "",
        encoding=encoding,
        weights=describe_encoding(weights) if weights else "",
        us="" if time is None else format_significant(time.us),
        share=0.0 if time is None else time.share,
        inputs=tuple(
            _end(name, tensors, [edges.writers[name]] if name in edges.writers else [])
            for name in node.inputs
        ),
        outputs=tuple(_end(name, tensors, edges.readers.get(name, [])) for name in node.outputs),
        parameters=node.parameters,
        link=ids.get(node.name, ""),
        words=_list_words(node, encoding, first),
    )


def _list_words(node: NodeEntry, encoding: str, first: TensorEntry | None) -> str:
    parts: Iterable[str] = (
        node.operator,
        node.name,
        *node.inputs,
        *node.outputs,
        first.type if first else "",
        encoding,
    )
    return " ".join(dict.fromkeys(filter(None, parts))).lower()


def _end(name: str, tensors: Mapping[str, TensorEntry], links: list[tuple[str, str]]) -> TensorView:
    tensor = tensors.get(name)
    about = [] if tensor is None else [tensor.type]
    if tensor is not None and tensor.encoding is not None:
        about.append(describe_encoding(tensor.encoding))
    return TensorView(name, ", ".join(filter(None, about)), tuple(links))
