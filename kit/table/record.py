"""The table as one object, for `--json`."""

from __future__ import annotations

from collections.abc import Sequence

from kit.report.rows import Timing
from kit.table.overview import Overview, TableRow


def as_json(overview: Overview, commands: Sequence[str]) -> dict[str, object]:
    """Return the object that `kit table --json` prints; null is what was not measured."""
    return {
        "rows": [_record(row) for row in overview.rows],
        "setting": None if overview.main is None else overview.main.title,
        "other_settings": [
            {
                "setting": setting.title,
                "device_kind": setting.device.kind,
                "virtual": setting.virtual,
                "rows": [_record(row) for row in rows],
            }
            for setting, rows in overview.others
        ],
        "commands": list(commands),
    }


def _record(row: TableRow) -> dict[str, object]:
    scored = row.accuracy.row if row.accuracy else None
    return {
        "label": row.label,
        "bundle": row.bundle.name,
        "bundle_hash": row.bundle.hash,
        "model": row.bundle.model,
        "artifact": row.key.name,
        "format": row.key.format,
        "backend": row.key.backend,
        "precision": row.key.precision,
        "quantize": row.quantize,
        "executed": row.executed,
        "bytes": row.artifact.size if row.artifact else None,
        "top1": scored and scored.top1,
        "agreement": scored and scored.agreement,
        "sqnr_db": scored and scored.sqnr_db,
        "images": scored and scored.images,
        "pictures_sha256": row.accuracy and row.accuracy.pictures_sha256,
        "delegated": row.delegated,
        "front": row.front,
        **_times(row.timing),
        "memory_bytes": row.memory,
    }


def _times(timing: Timing | None) -> dict[str, object]:
    interval = timing.median.interval if timing else None
    return {
        "median_ms": timing and timing.median.median,
        "ci95_ms": interval and [interval.low, interval.high],
        "p90_ms": timing and timing.p90,
        "load_ms": timing and timing.load,
        "first_ms": timing and timing.first,
        "measurement": timing and timing.measurement,
    }
