"""Tables of the measurements in a report."""

from __future__ import annotations

from collections.abc import Sequence

from kit.report import text
from kit.report.cells import Cell, Head, Line
from kit.report.contexts import assume_utc
from kit.report.tables import Table
from kit.report.text import NONE
from kit.results.accuracy import AccuracyResult
from kit.results.context import Fingerprint, Identity, SourceRef
from kit.results.kinds import AnyResult
from kit.results.latency import LatencyResult

_COLUMNS = ("When", "What", "Device", "Build", "Host", "Source", "kit")


def tabulate(results: Sequence[AnyResult]) -> Table:
    """Return a table of the results' measurements, oldest first."""
    groups: dict[str, list[AnyResult]] = {}
    for result in sorted(
        results, key=lambda r: (assume_utc(r.created), r.bundle.name, r.bundle.hash)
    ):
        key = (
            result.identity.measurement
            if result.identity
            else f"created {assume_utc(result.created)}"
        )
        groups.setdefault(key, []).append(result)
    lines = tuple(
        Line(Head(group[0].identity.measurement if group[0].identity else NONE, "", ""), cells)
        for group in groups.values()
        for cells in dict.fromkeys(_cells(result) for result in group)
    )
    return Table("measurements", "Measurements", _COLUMNS, lines, "Measurement")


def _cells(result: AnyResult) -> tuple[Cell, ...]:
    who: Identity | None = result.identity
    return (
        Cell(f"{assume_utc(result.created):%Y-%m-%d %H:%M:%S}"),
        Cell(_what(result)),
        Cell(NONE if who is None else _device(who.device), _abi(who)),
        Cell((who and who.device.build) or NONE),
        Cell(NONE if who is None else who.host.name, "" if who is None else who.host.os),
        Cell(*_source(who.source if who else None)),
        Cell(result.kit_version),
    )


def _what(result: AnyResult) -> str:
    if isinstance(result, LatencyResult):
        return "latency"
    return "accuracy" if isinstance(result, AccuracyResult) else "processors"


def _device(device: Fingerprint) -> str:
    return ", ".join(dict.fromkeys(filter(None, (device.model, device.soc)))) or NONE


def _abi(who: Identity | None) -> str:
    if who is None:
        return ""
    cores = "" if who.device.cores is None else text.format_count(who.device.cores, "core")
    return ", ".join(filter(None, (who.device.abi, cores)))


def _source(source: SourceRef | None) -> tuple[str, str]:
    if source is None:
        return NONE, ""
    state = {True: "with changes", False: "", None: "changes not known"}[source.dirty]
    return source.revision[:12], state
