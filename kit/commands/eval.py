"""`kit eval`: accuracy of a bundle's formats on a set of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kit import terminal
from kit.commands.common.option_types import OUTPUT_TEXT_PATH, PATH, make_list_option
from kit.errors import UsageError
from kit.text import make_one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kit.bundles.bundle import Bundle
    from kit.results.accuracy import AccuracyResult, AccuracyRow

_FIELDS = (
    "format",
    "backend",
    "precision",
    "artifact_sha256",
    "runtime",
    "images",
    "top1",
    "top5",
    "agreement",
    "sqnr_db",
    "outputs",
    "metrics",
    "images_per_second",
)


# Headings of the shares in a row, and their fields.
_COLUMNS = (("top-1 %", "top1"), ("top-5 %", "top5"), ("agreement %", "agreement"))


@click.command("eval")
@click.argument("bundle", type=PATH)
@click.option(
    "--images",
    "--samples",
    "images",
    required=True,
    type=PATH,
    metavar="SAMPLES",
    help="Folder or zip of pictures, or what else the bundle's task takes: .npz files, texts.",
)
@click.option(
    "--labels",
    type=PATH,
    metavar="FILE|DIR_OR_ZIP",
    help="CSV of path,label, masks of a segmentation, boxes of a detector, or none. Default: "
    "labels come from the names, boxes from the JSON file beside the pictures.",
)
@make_list_option(
    "--format",
    "names",
    metavar="F,…",
    help="Comma-separated formats or files, such as onnx or onnx-fp32. Default: all of the bundle.",
)
@click.option(
    "--session",
    metavar="NAME",
    help="Run the ONNX files by another runtime, openvino, which results name like a format.",
)
@click.option(
    "--batch",
    type=click.IntRange(1),
    default=1,
    metavar="N",
    help="Samples in each inference of a file, for bundles built with --dynamic. Default: 1.",
)
@click.option(
    "--limit",
    type=int,
    metavar="N",
    help="Evaluate N pictures, evenly spread over the set. Default: all.",
)
@click.option(
    "-o",
    "--output",
    type=OUTPUT_TEXT_PATH,
    metavar="FILE",
    help="Write the result for `kit report`: a file, or a folder, where it is "
    "BUNDLE-accuracy.json.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(
    bundle: Path,
    images: Path,
    labels: Path | None,
    names: str | None,
    session: str | None,
    limit: int | None,
    batch: int,
    output: str | None,
    as_json: bool,
) -> None:
    """Accuracy of the formats in BUNDLE, and of its float model, on pictures.

    Samples that calibrated the bundle are left out. Labels are read off class folders
    (index, WordNet id or category name), off names that begin with the class index, or
    off --labels; without labels, the agreement with the float model is what is measured.
    """
    from kit.accuracy import evaluate
    from kit.bundles import loading
    from kit.commands.common.output_checks import choose_file
    from kit.commands.common.progress_display import show_steps
    from kit.formats.sessions import open_with
    from kit.guard import keep_stdout
    from kit.results import store

    file = choose_file(output, str(bundle), "accuracy")
    selected = None if names is None else [n.strip() for n in names.split(",") if n.strip()]
    if selected == []:
        raise UsageError("--format names nothing", "for example: --format onnx,lite")
    source: Bundle | Path = bundle
    if session is not None:
        source, selected = open_with(loading.load_bundle(bundle), session, selected), None
    with show_steps() as update, keep_stdout():
        result = evaluate(
            source,
            images,
            labels,
            selected,
            limit,
            lambda done, of: update(done, of, "samples"),
            batch,
        )
    _note(result)
    if as_json:
        from kit.notices import as_json as record

        rows = [row.model_dump(include=set(_FIELDS)) for row in result.rows]
        identity = result.identity
        terminal.print_json(
            {
                "measurement": identity and identity.measurement,
                "results": rows,
                "notices": [record(notice) for notice in result.notices],
            }
        )
    else:
        _table(result)
    if file is not None:
        store.write(result, file)


def _note(result: AccuracyResult) -> None:
    from kit.commands.common.advice import write_notices
    from kit.commands.common.output_checks import report_left_out
    from kit.tasks import get_task

    for line in write_notices(((notice, "") for notice in result.notices), 1):
        terminal.echo(make_one_line(line), err=True)
    report_left_out(result.bundle)
    task, first = get_task(result.task), result.rows[0]
    if result.left_out:
        what = task.sample + ("" if result.left_out == 1 else "s")
        terminal.print_note(f"left out {result.left_out} {what} that calibrated the bundle")
    if task.label_hint and first.top1 is None and not first.metrics:
        terminal.print_note(task.label_hint)


def _table(result: AccuracyResult) -> None:
    from rich.table import Table

    from kit.tasks import get_task

    if result.rows[0].outputs:
        _outputs(result)
        return
    what = f"{get_task(result.task).sample}s"
    rate = "images/s" if what == "pictures" else f"{what}/s"
    table = Table(
        title=f"{result.bundle.name} on {result.rows[0].images} {what} of {result.pictures}"
    )
    for name in ("file", "quantize"):
        table.add_column(name)
    columns = _choose_columns(result)
    metrics = [make_one_line(metric.heading) for metric in result.rows[0].metrics]
    for name in (*(heading for heading, _ in columns), "SQNR dB", *metrics, rate):
        table.add_column(name, justify="right")
    for row in result.rows:
        table.add_row(row.name, row.quantize, *_numbers(row, [field for _, field in columns]))
    terminal.print_table(table)


def _choose_columns(result: AccuracyResult) -> list[tuple[str, str]]:
    """Return headings and fields of the shares that the task measures."""
    return [
        (heading, field)
        for heading, field in _COLUMNS
        if any(getattr(row, field) is not None for row in result.rows)
    ]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _outputs(result: AccuracyResult) -> None:
    """Print a line for each output of each file."""
    from rich.table import Table

    title = f"{result.bundle.name} on {result.rows[0].images} samples of {result.pictures}"
    table = Table("file", "quantize", "output", title=title)
    metrics = [make_one_line(metric.heading) for metric in result.rows[0].metrics]
    columns = _choose_columns(result)
    shares = [heading for heading, _ in columns]
    for name in ("SQNR dB", "max abs", "cosine", *shares, *metrics, "samples/s"):
        table.add_column(name, justify="right")
    for row in result.rows:
        whole = [_share(getattr(row, field)) for _, field in columns]
        whole += [f"{metric.value:.4g}" for metric in row.metrics]
        for number, output in enumerate(row.outputs):
            table.add_row(
                *(("", "") if number else (row.name, row.quantize)),
                make_one_line(output.name),
                "equal" if output.sqnr_db is None else f"{output.sqnr_db:.1f}",
                f"{output.max_abs:.3g}",
                f"{output.cosine:.4f}",
                *("" if number else text for text in whole),
                "" if number else f"{row.images_per_second:.1f}",
            )
    terminal.print_table(table)


def _numbers(row: AccuracyRow, shares: Sequence[str]) -> tuple[str, ...]:
    values = (getattr(row, field) for field in shares)
    sqnr = "equal" if row.sqnr_db is None else f"{row.sqnr_db:.1f}"
    return (
        *map(_share, values),
        sqnr,
        *(f"{metric.value:.4g}" for metric in row.metrics),
        f"{row.images_per_second:.1f}",
    )
