"""What to type to fill the empty cells of a table, and to measure on a phone as well."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from kit.table.overview import Overview, TableRow


def suggest(overview: Overview) -> list[str]:
    """Return the commands that fill the empty cells of the main table.

    Bundles that are not here have none.
    """
    lines = []
    for path, names in _group(overview, lambda row: row.accuracy is None).items():
        lines.append(
            f"kit eval {_quote(path)} --images DIR_OR_ZIP --format {','.join(names)} "
            f"-o {_quote(_find_free(path.parent / f'accuracy-{path.name}.json'))}"
        )
    untimed = _group(overview, _lacks_times)
    if untimed:
        # Bundles of one command are interleaved, so that their times can be compared.
        names = list(dict.fromkeys(name for group in untimed.values() for name in group))
        chosen = f" --format {','.join(names)}" if len(untimed) == 1 else ""
        paths = list(untimed)
        device = overview.main.device if overview.main else None
        if device is not None and device.kind != "local":
            chosen += f" --device {shlex.quote(device.serial or 'SERIAL')}"
        lines.append(_write_bench(paths, chosen, "latency"))
    return lines


def suggest_device(overview: Overview) -> list[str]:
    """Return the command that measures on a phone, if all times are of this machine."""
    here = overview.main is None or overview.main.device.kind == "local"
    if overview.paths and here and not overview.others:
        return [_write_bench(list(overview.paths.values()), " --device SERIAL", "device")]
    return []


def _write_bench(paths: Sequence[Path], options: str, folder: str) -> str:
    out = _quote(_find_free(paths[0].parent / folder))
    return f"kit bench {' '.join(map(_quote, paths))}{options} -o {out}/"


def _lacks_times(row: TableRow) -> bool:
    """Whether a row was not timed, or by a plan that leaves the memory out, as `--quick` does."""
    return row.timing is None or (row.memory is None and not row.timing.run.plan.memory)


def _group(overview: Overview, lacks: Callable[[TableRow], bool]) -> dict[Path, list[str]]:
    """Return the names of artifacts that run here and lack something, by bundle."""
    groups: dict[Path, list[str]] = {}
    for row in overview.rows:
        path = overview.paths.get(row.bundle.hash)
        if path is not None and row.artifact is not None and row.executed and lacks(row):
            groups.setdefault(path, []).append(row.key.name)
    return groups


def _find_free(path: Path) -> Path:
    """Return a name that nothing has: an earlier result would be replaced."""
    number, free = 2, path
    while free.exists():
        free, number = path.with_stem(f"{path.stem}-{number}"), number + 1
    return free


def _quote(path: Path) -> str:
    return shlex.quote(str(path))
