"""The Pareto front: rows that no other beats in accuracy, latency and size at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kit.table.overview import Overview, TableRow


@dataclass(frozen=True)
class ParetoPoint:
    """A row that can be compared with the others.

    Attributes:
        accuracy: percent of top-1 or, for a set without labels, agreement with the float model.
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
    labelled = all(row.accuracy.row.top1 is not None for row in chosen if row.accuracy)
    points = []
    for row in chosen:
        assert row.accuracy
        assert row.timing
        assert row.artifact
        scored = row.accuracy.row
        share = scored.top1 if labelled else scored.agreement
        if share is not None:
            median = row.timing.median.median
            points.append(ParetoPoint(row, 100 * share, median, row.artifact.size / 1e6))
    return points, "top-1" if labelled else "agreement with fp32"


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
