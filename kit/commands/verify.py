"""`kit verify`: compare a bundle's answers on other processors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kit import terminal
from kit.commands.common.option_types import OUTPUT_TEXT_PATH, PATH, make_list_option
from kit.errors import BuildError

if TYPE_CHECKING:
    from kit.results.context import ParityRef
    from kit.results.processors import ProcessorRow, ProcessorsResult


@click.command("verify")
@click.argument("bundle", type=PATH)
@make_list_option(
    "--processor",
    "processors",
    metavar="P,…",
    default="host",
    help="Comma-separated: host, names such as haswell or cortex-a53, or all. Default: host.",
)
@make_list_option(
    "--format",
    "names",
    metavar="F,…",
    help="Comma-separated formats or files, such as onnx or onnx-fp32. Default: all of the bundle.",
)
@make_list_option(
    "--precision",
    "precisions",
    metavar="P,…",
    help="Comma-separated precisions, such as int8. Default: all of the bundle.",
)
@click.option(
    "-o",
    "--output",
    type=OUTPUT_TEXT_PATH,
    metavar="FILE",
    help="Write the result for `kit report`: a file, or a folder, where it is "
    "BUNDLE-processors.json.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(
    bundle: Path,
    processors: str,
    names: str | None,
    precisions: str | None,
    output: str | None,
    as_json: bool,
) -> int:
    """Run the golden inputs of BUNDLE through its formats on other processors.

    Processors but `host` are emulated with qemu-user, so no times are shown. The answers are
    compared with the quantized graph, with the float model, and bit for bit with those of the
    build. Exit code 5 if a format does not meet the limits of its build.
    """
    from kit.commands.common.output_checks import choose_file
    from kit.commands.common.progress_display import show_steps
    from kit.portability.verification import verify_processors
    from kit.results import store

    file = choose_file(output, str(bundle), "processors")
    with show_steps() as update:
        result = verify_processors(
            bundle,
            _split(processors),
            None if names is None else _split(names),
            update,
            None if precisions is None else _split(precisions),
        )
    if file is not None:
        store.write(result, file)
    if as_json:
        terminal.print_json(result.model_dump(mode="json"), indent=1)
    else:
        _show(result)
    return 0 if all(row.passed for row in result.rows) else BuildError.exit_code


def _split(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _show(result: ProcessorsResult) -> None:
    from rich import box
    from rich.table import Table

    from kit.commands.common.output_checks import report_left_out

    title = f"{result.bundle.name}: {result.rows[0].images} golden inputs"
    caption = "SQNR in dB and same first answer, against the quantized graph and the float model"
    table = Table(title=title, title_justify="left", caption=caption, box=box.SIMPLE_HEAD)
    for heading in ("file", "processor"):
        table.add_column(heading)
    for heading in ("graph", "", "float", ""):
        table.add_column(heading, justify="right")
    for heading in ("answers", ""):
        table.add_column(heading)
    before = ""
    for row in result.rows:
        if before not in ("", row.name):
            table.add_section()
        table.add_row(
            "" if row.name == before else row.name,
            row.processor,
            *_numbers(row),
            _difference(row),
            "passed" if row.passed else "FAILED",
        )
        before = row.name
    terminal.print_table(table)
    for line in _remarks(result):
        terminal.print_note(line)
    report_left_out(result.bundle)


def _numbers(row: ProcessorRow) -> list[str]:
    from kit.comparison import find_worst

    cells = []
    for against in ("quantized graph", "float reference"):
        one = find_worst(row.parity, against)
        share = "" if one is None or one.agreement is None else f"{one.agreement:.0%}"
        cells += ["-", "-"] if one is None else [_decibels(one), share]
    return cells


def _decibels(parity: ParityRef) -> str:
    return "equal" if parity.sqnr_db is None else f"{parity.sqnr_db:.1f}"


def _difference(row: ProcessorRow) -> str:
    if row.golden_max_abs is None:
        return "-"
    return "bit-equal" if row.golden_max_abs == 0 else f"max {row.golden_max_abs:.2g}"


def _remarks(result: ProcessorsResult) -> Iterator[str]:
    """Yield lines for stderr that are not in the table."""
    for processor in result.processors:
        yield f"{processor.name}: {processor.about}"
    emulators = dict.fromkeys(p.emulator for p in result.processors if p.emulator)
    if emulators:
        yield f"emulated with {', '.join(emulators)}: answers are the processor's, times are not"
    for name in dict.fromkeys(row.name for row in result.rows):
        rows = [row for row in result.rows if row.name == name and row.answers_sha256]
        different = len({row.answers_sha256 for row in rows})
        if len(rows) > 1:
            equal = "bit-equal" if different == 1 else f"{different} different sets of answers"
            yield f"{name}: {equal} on {len(rows)} processors"
    for row in result.rows:
        if row.error:
            yield f"{row.name} on {row.processor}: {row.error}"
