"""The Pareto front: rows that no other beats in accuracy, latency and size at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kit.report.accuracy import choose_measure
from kit.table.overview import Overview, TableRow


@dataclass(frozen=True)
class ParetoPoint:
    """A row that can be compared with the others.

    Attributes:
        accuracy: percent of top-1, of the task's first metric or, for a set without labels,
            agreement with the float model.
        latency: median in ms.
        size: of the file in MB.
    """

    row: TableRow
    accuracy: float
    latency: float
    size: float


def find_points(overview: Overview) -> tuple[list[ParetoPoint], str]:
    """Return the points of the main table, and what their accuracy is.

    Only rows with all three numbers are points, evaluated on the set of pictures that most rows
    were evaluated on. The float model has no file, and virtual devices are not in the main table.
    """
    whole = [row for row in overview.rows if row.accuracy and row.timing and row.artifact]
    sets = Counter(row.accuracy.picture_set for row in whole if row.accuracy)
    usual = max(sets, key=lambda one: (sets[one], one), default=None)
    chosen = [row for row in whole if row.accuracy and row.accuracy.picture_set == usual]
    measure = choose_measure([row.accuracy for row in chosen if row.accuracy])
    points = []
    for row in chosen:
        assert row.accuracy
        assert row.timing
        assert row.artifact
        score = measure.read(row.accuracy)
        if score is not None:
            median = row.timing.median.median
            points.append(ParetoPoint(row, score, median, row.artifact.size / 1e6))
    return points, measure.name


def find_edge(points: Sequence[ParetoPoint]) -> list[tuple[float, float]]:
    """Return the edge of what is reached: latencies, and the best accuracy within each.

    A single place, with no line to draw, if the fastest file is also the most accurate one.
    """
    best: list[tuple[float, float]] = []
    for point in sorted(points, key=lambda one: (one.latency, -one.accuracy)):
        if not best or point.accuracy > best[-1][1]:
            best.append((point.latency, point.accuracy))
    return best


def is_beaten(point: ParetoPoint, points: Sequence[ParetoPoint]) -> bool:
    """Return whether another point is at least as good in everything and better in something."""
    own = _merits(point)
    return any(
        all(a >= b for a, b in zip(_merits(other), own, strict=True)) and _merits(other) != own
        for other in points
    )


def _merits(point: ParetoPoint) -> tuple[float, float, float]:
    return point.accuracy, -point.latency, -point.size


def mark_front(overview: Overview) -> Overview:
    """Return the overview with the rows of the front marked."""
    points, _ = find_points(overview)
    front = {id(point.row) for point in points if not is_beaten(point, points)}
    rows = tuple(replace(row, front=id(row) in front) for row in overview.rows)
    return replace(overview, rows=rows)
