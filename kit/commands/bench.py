"""`kit bench`: latency of the formats of one or more bundles, on this machine."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from kit.errors import OutputError, UsageError

_PATH = click.Path(path_type=Path)


@click.command("bench")
@click.argument("bundles", type=_PATH, nargs=-1, required=True, metavar="BUNDLE...")
@click.option(
    "--format",
    "names",
    metavar="F,…",
    help="Comma-separated formats; `reference` is eager fp32 PyTorch. Default: all of the bundle.",
)
@click.option("--threads", type=click.IntRange(1, 1024), default=1, help="Default: 1.")
@click.option("--quick", is_flag=True, help="One process each: a look, not a result to quote.")
@click.option("--official", is_flag=True, help="1024 samples and 60 s in each of 3 processes.")
@click.option(
    "-o",
    "--output",
    type=_PATH,
    help="Write the result for `kit report`: a file, or a folder for several bundles.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(
    bundles: tuple[Path, ...],
    names: str | None,
    threads: int,
    quick: bool,
    official: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Latency of the formats in BUNDLE, measured in fresh processes on this machine.

    Several bundles are measured side by side, which is how int8 and fp32 are compared.
    Every sample is kept; what makes the numbers doubtful is said on stderr.
    """
    from kit.bench.measure import measure_all
    from kit.bench.plan import preset
    from kit.bench.rows import as_json as record
    from kit.bench.rows import rows
    from kit.commands import _latency
    from kit.results import store

    if quick and official:
        raise UsageError("--quick and --official exclude each other", "give one of them")
    plan = preset("quick" if quick else "official" if official else "default", threads)
    wanted = None if names is None else [n.strip() for n in names.split(",") if n.strip()]
    given = list(dict.fromkeys(bundles))
    files = [] if output is None else _files(given, output)
    with _latency.bar() as update:
        results = measure_all(given, wanted, plan, update)
    for result, file in zip(results, files, strict=False):
        store.write(result, file)
    table = rows(results)
    if as_json:
        click.echo(json.dumps({"results": [record(row) for row in table]}))
    else:
        _latency.table(table)
    for line in (*_latency.context(table), *_latency.doubts(table)):
        click.echo(line, err=True)


def _files(bundles: Sequence[Path], output: Path) -> list[Path]:
    """Return where each result goes, before minutes are spent on measuring it.

    Raises:
        OutputError: the folder cannot be made or written to.
    """
    one = len(bundles) == 1 and not output.is_dir()
    folder = output.parent if one else output
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as exc:
        raise OutputError(
            f"cannot write to {folder}: {exc.strerror}",
            "choose another place with -o; for several bundles it is a folder",
        ) from exc
    if one:
        return [output]
    names = [path.resolve().name for path in bundles]
    unique = len(set(names)) == len(names)
    return [
        output / (f"{name}.json" if unique else f"{index}-{name}.json")
        for index, name in enumerate(names, 1)
    ]
