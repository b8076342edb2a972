"""What to type to fill the empty cells of a table."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

from kit.table.overview import Overview, TableRow


def suggest(overview: Overview) -> list[str]:
    """Return the commands that measure what the main table has not, and devices if there are none.

    Bundles that are not here have none.
    """
    lines = []
    for path, names in _group(overview, lambda row: row.accuracy is None).items():
        lines.append(
            f"kit eval {_quote(path)} --images DIR_OR_ZIP --format {','.join(names)} "
            f"-o {_quote(_find_free(path.parent / f'accuracy-{path.name}.json'))}"
        )
    untimed = _group(overview, lambda row: row.timing is None)
    if untimed:
        # Bundles of one command are interleaved, so that their times can be compared.
        names = list(dict.fromkeys(name for group in untimed.values() for name in group))
        chosen = f" --format {','.join(names)}" if len(untimed) == 1 else ""
        paths = list(untimed)
        lines.append(
            f"kit bench {' '.join(map(_quote, paths))}{chosen} "
            f"-o {_quote(paths[0].parent / 'latency')}/"
        )
    if overview.paths and not any(setting.virtual for setting, _ in overview.others):
        paths = list(overview.paths.values())
        lines.append(
            f"kit bench {' '.join(map(_quote, paths))} --device SERIAL "
            f"-o {_quote(paths[0].parent / 'device')}/"
        )
    return lines


def _group(overview: Overview, lacks: Callable[[TableRow], bool]) -> dict[Path, list[str]]:
    """Return the names of artifacts that run here and lack something, by bundle."""
    groups: dict[Path, list[str]] = {}
    for row in overview.rows:
        path = overview.paths.get(row.bundle.hash)
        if path is not None and row.artifact is not None and row.executed and lacks(row):
            groups.setdefault(path, []).append(row.key.name)
    return groups


def _find_free(path: Path) -> Path:
    """Return a name that nothing has: `kit eval` would replace an earlier result."""
    number, free = 2, path
    while free.exists():
        free, number = path.with_stem(f"{path.stem}-{number}"), number + 1
    return free


def _quote(path: Path) -> str:
    return shlex.quote(str(path))
