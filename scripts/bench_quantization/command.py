"""The options of `scripts/bench quantization`, the order of the steps, the exit code."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kit
from bench_quantization import environments, inputs, own, peers, scores
from bench_quantization.inputs import Setup
from bench_quantization.scores import Row, Score
from kit.errors import KitError, OutputError, UsageError
from kit.files import atomic
from kit.progress import ReportStatus

if TYPE_CHECKING:
    from bench_quantization.inputs import Inputs
    from bench_quantization.peers import Peer

MODEL = "mobilenet_v2"
SHARED = Path(__file__).parents[3] / "shared" / "data" / "imagenet-500.zip"
SCHEMA_VERSION = 1


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    add = parser.add_argument
    add("--images", type=Path, metavar="DIR_OR_ZIP", help="labelled pictures")
    add("--weights", default="imagenet", metavar="FILE", help="state dict; default: official")
    add("--calibration-images", type=int, default=32, metavar="N", help="default 32")
    add("--seed", type=int, default=0, help="of the choice of calibration pictures; default 0")
    add("--limit", type=int, metavar="N", help="evaluate N pictures, evenly spread; default all")
    add("--peers", metavar="A,B", help=f"default: {','.join(peers.PEERS)}")
    add("--json", action="store_true", help="print one JSON object instead of the table")
    add("-o", "--output", type=Path, metavar="FILE", help="write the JSON object to a file")
    add("--work", type=Path, metavar="DIR", help="keep files and logs in this new folder")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare, print, and return the exit code: 1 if a row is missing."""
    try:
        _check(arguments)
        chosen = peers.choose(arguments.peers)
        with open_work(arguments.work) as work:
            facts, rows = compare(_setup(arguments, work), chosen)
        _print_table(arguments, facts, rows)
    except KitError as exc:
        print(f"error: {exc.message}\nhint: {exc.hint}", file=sys.stderr)
        return exc.exit_code
    return int(any(row.failed for row in rows))


def _check(arguments: argparse.Namespace) -> None:
    if arguments.images is None and not SHARED.exists():
        raise UsageError(
            "there are no pictures to compare on", "give labelled ones with --images DIR_OR_ZIP"
        )
    if arguments.limit is not None and arguments.limit < 1:
        raise UsageError(f"the limit {arguments.limit} leaves no picture", "use 1 or more")
    if arguments.calibration_images < 1:
        raise UsageError(
            f"{arguments.calibration_images} pictures cannot calibrate", "use 1 or more, such as 32"
        )


def _setup(arguments: argparse.Namespace, work: Path) -> Setup:
    return Setup(
        model=MODEL,
        weights=arguments.weights,
        images=arguments.images or SHARED,
        calibration_images=arguments.calibration_images,
        seed=arguments.seed,
        limit=arguments.limit,
        work=work,
        report_status=make_reporter(),
    )


@contextmanager
def open_work(named: Path | None) -> Iterator[Path]:
    """Provide a new folder, which is kept if it was named."""
    where = named or tempfile.gettempdir()
    try:
        if named is None:
            with tempfile.TemporaryDirectory(prefix="kit-peers-") as folder:
                yield Path(folder)
        else:
            named.mkdir(parents=True)
            yield named.resolve()
    except OSError as exc:
        raise OutputError(
            f"cannot write to {where}: {exc.strerror or exc}",
            "name a new folder with --work that is writable and has space: 0.6 MB a picture",
        ) from exc


def compare(setup: Setup, chosen: list[Peer]) -> tuple[dict[str, Any], list[Row]]:
    """Return facts about the run and its rows; the first row is the float model's."""
    pictures = inputs.divide(setup)
    setup.report_status("building the float model")
    bundle = own.float_bundle(setup)
    prepared = inputs.prepare(setup, pictures, bundle)
    whole = scores.score(prepared.reference, prepared.reference, prepared.labels)
    rows = [Row("float", "float model", f"torch {version('torch')}", whole)]
    rows += own.rows(setup, prepared)
    rows += [_peer(peer, prepared, setup) for peer in chosen]
    facts = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "kit_version": kit.__version__,
        "model": setup.model,
        "weights_sha256": bundle.manifest.weights.sha256,
        "pictures": {
            "source": prepared.source,
            "evaluated": whole.images,
            "evaluated_sha256": prepared.sha256,
            "calibration": prepared.calibration,
            "seed": setup.seed,
        },
    }
    return facts, rows


def make_reporter() -> ReportStatus:
    """Return a callback that prints steps with the time since now."""
    began = time.monotonic()

    def report_status(what: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {what}", file=sys.stderr, flush=True)

    return report_status


def _peer(peer: Peer, prepared: Inputs, setup: Setup) -> Row:
    """Run one peer; an error becomes a sentence in its row."""
    import numpy as np

    work = setup.work
    try:
        setup.report_status(f"{peer.name}: its environment")
        interpreter = environments.python(peer.script)
        setup.report_status(f"{peer.name}: quantizing and evaluating")
        environments.start(peer.script, peer.name, interpreter, work)
        facts = json.loads((work / f"{peer.name}.json").read_text(encoding="utf-8"))
        row_score = scores.score(
            np.load(work / f"{peer.name}.npy"), prepared.reference, prepared.labels
        )
    except (KitError, OSError, ValueError) as exc:
        words = exc.message if isinstance(exc, KitError) else str(exc)
        setup.report_status(f"{peer.name}: FAILED: {words}")
        return Row(peer.name, peer.title, failed=words)
    return Row(
        name=peer.name,
        title=peer.title,
        runs_on=f"{facts['runtime']} {facts['versions'][facts['runtime']]}",
        score=row_score,
        bytes=facts["bytes"],
        seconds=facts["seconds"],
        details={"method": facts["method"], "versions": facts["versions"]},
    )


def _print_table(arguments: argparse.Namespace, facts: dict[str, Any], rows: list[Row]) -> None:
    whole = rows[0].score
    assert whole is not None
    answer = {"kind": "quantization-peers", "schema_version": SCHEMA_VERSION, **facts}
    answer["rows"] = scores.record(rows, whole)
    text = json.dumps(answer, indent=2, ensure_ascii=False) + "\n"
    if arguments.json:
        print(text, end="")
    else:
        _table(rows, whole, facts)
    if arguments.output is not None:  # last, so that a full disk does not cost the numbers
        _write(arguments.output, text)


def _write(path: Path, text: str) -> None:
    try:
        atomic.write_file(path, text)
    except OSError as exc:
        raise OutputError(f"cannot write {path}: {exc.strerror}", "choose another -o") from exc


def _table(rows: list[Row], whole: Score, facts: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    pictures = facts["pictures"]
    title = (
        f"int8 {MODEL} on {pictures['evaluated']} pictures of {pictures['source']}, "
        f"{len(pictures['calibration'])} others calibrate"
    )
    grid = Table(title=title, title_justify="left")
    for index, head in enumerate(scores.HEADS):
        grid.add_column(head, justify="left" if index < 2 else "right", no_wrap=True)
    for row in rows:
        grid.add_row(*scores.cells(row, whole))
    Console(width=None if sys.stdout.isatty() else 120).print(grid)
    print(scores.noise(whole))
    print(
        "drop in points; MB are millions of bytes; s is from the float model to the int8 file, "
        "for the kit to all three files, verified"
    )
    for row in rows:
        if row.failed:
            print(f"{row.name} is missing: {row.failed}")
