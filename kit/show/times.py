"""Times of operators, from results of `kit bench --profile`, and the nodes that they belong to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from kit import formats
from kit.errors import KitError
from kit.formats.structure import GraphEntry, ModelStructure
from kit.results.latency import LatencyResult, Operator, Run


@dataclass(frozen=True)
class TimedOperator:
    """An operator of a profile.

    Attributes:
        name: as the runtime calls it.
        type: what it computes.
        calls: that were timed.
        us: mean microseconds of a call.
        share: of the time of all operators, 0..1.
        node: name of the graph, and position of the node in it; None where the runtime's name
            does not tell one.
    """

    name: str
    type: str
    calls: int
    us: float
    share: float
    node: tuple[str, int] | None


@dataclass(frozen=True)
class Times:
    """The times of one file's operators.

    Attributes:
        operators: in the order of their first call.
        device: that was measured, as results name it.
        virtual: the device is emulated: shares may differ from those of a phone.
        via: the runner.
        threads: of the runtime.
        created: when the result was written.
    """

    operators: tuple[TimedOperator, ...]
    device: str
    virtual: bool
    via: str
    threads: int
    created: datetime
    nodes: Mapping[tuple[str, int], TimedOperator] = field(default_factory=dict)


def find_times(
    digest: str,
    format: str,
    structure: ModelStructure | None,
    results: Sequence[LatencyResult],
) -> Times | None:
    """Return the newest times of a file.

    Args:
        digest: SHA-256 of the file.
        format: of the file.
        structure: of the file, whose nodes are sought.
        results: to search.
    """
    profiled = [
        (result, run)
        for result in results
        for run in result.runs
        if run.operators and _is_of(run, result, digest)
    ]
    if not profiled:
        return None
    result, run = max(profiled, key=lambda one: one[0].created.timestamp())
    total = sum(one.total_ns for one in run.operators) or 1
    nodes = _index_nodes(structure.graphs if structure else ())
    operators = tuple(_time(one, total, _find_node(one, format, nodes)) for one in run.operators)
    return Times(
        operators=operators,
        device=run.device.name,
        virtual=run.device.kind in ("virtual", "emulator"),
        via=run.via,
        threads=run.plan.threads,
        created=result.created,
        nodes={one.node: one for one in operators if one.node is not None},
    )


def _is_of(run: Run, result: LatencyResult, digest: str) -> bool:
    named = {one.key: one.sha256 for one in result.bundle.artifacts}
    return (run.artifact_sha256 or named.get(run.key)) == digest


def _time(one: Operator, total: int, node: tuple[str, int] | None) -> TimedOperator:
    us = one.total_ns / one.calls / 1e3
    return TimedOperator(one.name, one.type, one.calls, us, one.total_ns / total, node)


def _index_nodes(graphs: Iterable[GraphEntry]) -> dict[str, tuple[str, int]]:
    """Return nodes by their names and by those of their outputs, where these are unique."""
    times: dict[str, tuple[str, int]] = {}
    counts: Counter[str] = Counter()
    for graph in graphs:
        for number, node in enumerate(graph.nodes):
            for name in {node.name, *node.outputs} - {""}:
                counts[name] += 1
                times[name] = graph.name, number
    return {name: place for name, place in times.items() if counts[name] == 1}


def _find_node(
    operator: Operator, format: str, nodes: Mapping[str, tuple[str, int]]
) -> tuple[str, int] | None:
    try:
        profiler = formats.get_format(format).profiler
    except KitError:  # a plug-in that is not installed here
        return None
    names = profiler.name_nodes(operator.name) if profiler else ()
    return next((nodes[name] for name in names if name in nodes), None)
