"""`kit bench`: latency of the formats of one or more bundles, here or on devices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kit import terminal
from kit.commands.common.option_types import (
    OUTPUT_TEXT_PATH,
    PATH,
    Finite,
    FiniteRange,
    Given,
    make_list_option,
)
from kit.text import make_one_line

if TYPE_CHECKING:
    from kit.commands.common.measurement import Measured
    from kit.results.latency import Plan


@click.command("bench")
@click.argument("bundles", type=PATH, nargs=-1, required=True, metavar="BUNDLE...")
@make_list_option(
    "--device",
    "choice",
    metavar="SERIAL",
    help="A serial, HOST:PORT, several with commas, `all`, or `auto`: ANDROID_SERIAL, or else "
    "the only device. Default: this machine.",
)
@make_list_option(
    "--format",
    "names",
    metavar="F,…",
    help="Comma-separated formats or files, such as onnx or onnx-fp32; `reference` is eager fp32 "
    "PyTorch. Default: all of the bundle.",
)
@click.option("--threads", type=click.IntRange(1, 1024), help="Default: 1.")
@click.option(
    "--cpus",
    metavar="big|little|all|MASK",
    help="Cores to run on: a cluster, or a mask in hexadecimal. Default: all.",
)
@click.option("--quick", is_flag=True, help="One process each: a look, not a result to quote.")
@click.option("--official", is_flag=True, help="1024 samples and 60 s in each of 3 processes.")
@click.option(
    "--repeats",
    type=click.IntRange(1, 1000),
    help="Fresh processes of each file; more are added until the median is precise.",
)
@click.option(
    "--pairs",
    type=click.IntRange(1, 1000),
    help="Of several bundles: add processes up to here until their difference is precise. "
    "Default: 32; none with --quick and --official.",
)
@click.option(
    "--max-slower",
    type=FiniteRange(0, 1000),
    metavar="PERCENT",
    help="Of several bundles: exit code 5 if a file of a later one is slower by more than this "
    "than the same file of the first.",
)
@click.option(
    "--precision",
    type=FiniteRange(0.1, 50),
    help="Maximum half width of a 95 % interval in percent, of a median or ratio. Default: 2.",
)
@click.option(
    "--cool",
    type=Finite(),
    metavar="°C",
    help="Battery temperature below which a process starts. Default: 38.",
)
@click.option(
    "--cool-wait", type=FiniteRange(0), metavar="S", help="No longer than this. Default: 120."
)
@click.option(
    "--runner",
    type=click.Choice(["auto", "python", "native"]),
    default="auto",
    help="On this machine: native if `kit runner build` has built all needed ones, else Python. "
    "Default: auto.",
)
@click.option(
    "--session",
    metavar="NAME",
    help="On this machine: run the ONNX files by another runtime, openvino, which results name "
    "like a format.",
)
@click.option("--profile", is_flag=True, help="Time of each operator, in processes of their own.")
@click.option(
    "--sweep",
    type=click.Choice(["threads"]),
    help="Try numbers of threads and clusters of cores, and recommend one.",
)
@click.option(
    "--sustained",
    type=FiniteRange(0, 1440, min_open=True),
    metavar="MIN",
    help="Measure for this many minutes without a pause, and report throttling.",
)
@click.option("--keep", is_flag=True, help="Leave the files of this measurement on the device.")
@click.option(
    "-o",
    "--output",
    type=OUTPUT_TEXT_PATH,
    help="Write the result for `kit report`: a file, or a folder for several bundles or devices.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(bundles: tuple[Path, ...], **options: Given) -> None:
    """Latency of the formats in BUNDLE, measured in fresh processes, here or on devices.

    Several bundles are measured side by side, in turns, which is how int8 and fp32 are compared,
    or a model before and after a change: --max-slower is for the latter.
    Every sample is kept; warnings about the numbers go to stderr.
    """
    from kit.bench.rows import list_rows
    from kit.commands.common import bench_options, measurement, output_checks, slower
    from kit.devices.fingerprint import make_measurement_id
    from kit.results import store

    unique = tuple(dict.fromkeys(bundles))
    bench_options.check_options(options, len(unique))
    serials = measurement.choose_serials(options["choice"])
    output = None if options["output"] is None else Path(options["output"])
    folder = output is not None and (
        len(unique) * len(serials) > 1 or output_checks.is_folder(options["output"])
    )
    if output is not None:
        measurement.check_output(output, folder)
    request = measurement.BenchRequest(
        bundles=unique,
        formats=parse_formats(options["names"]),
        plan=make_plan(options),
        cpus=options["cpus"] or "all",
        runner=options["runner"],
        profile=options["profile"],
        sweep=options["sweep"] is not None,
        keep=options["keep"],
        session=options["session"],
        measurement=make_measurement_id(),
    )
    measured, errors = measurement.run(request, serials)
    if output is not None:
        for result, file in measurement.name_files(measured, unique, output, folder):
            store.write(result, file)
    show(measured, options["as_json"], options["sustained"] is not None)
    if options["names"] is None:
        for one in measured:
            output_checks.report_without_runner(one.results)
    for error in errors[1:]:
        measurement.print_error(error)
    if errors:
        raise errors[0]
    if options["max_slower"] is not None:
        slower.check([list_rows(one.results) for one in measured], options["max_slower"])


def parse_formats(text: str | None) -> tuple[str, ...] | None:
    """Return the formats or files of the option `--format`; None if it was omitted."""
    return None if text is None else tuple(n.strip() for n in text.split(",") if n.strip())


def make_plan(options: dict[str, Given]) -> Plan:
    """Return the plan of the options of `kit bench`."""
    from kit.bench import sustained
    from kit.bench.plan import PlanName, get_preset
    from kit.results.latency import Plan

    name: PlanName = (
        "quick" if options["quick"] else "official" if options["official"] else "default"
    )
    chosen = get_preset(name, options["threads"] or 1)
    changes: dict[str, object] = {}
    if (repeats := options["repeats"]) is not None:
        maximum = chosen.max_repeats
        changes |= {"repeats": repeats, "max_repeats": maximum and max(maximum, repeats)}
    if (pairs := options["pairs"]) is not None:
        changes["max_pairs"] = pairs
    if (percent := options["precision"]) is not None:
        changes["precision"] = percent / 100
    if (cool := options["cool"]) is not None:
        changes["cool_c"] = cool
    if (seconds := options["cool_wait"]) is not None:
        changes["cool_seconds"] = seconds
    if changes:  # a quick plan keeps its name, and has no memory pass
        changes["name"] = "quick" if name == "quick" else "custom"
    minutes = options["sustained"]
    chosen = chosen.model_copy(update=changes)
    chosen = chosen if minutes is None else sustained.make_plan(minutes, chosen)
    return Plan.model_validate(chosen.model_dump())


def show(measured: Sequence[Measured], as_json: bool, sustained: bool) -> None:
    """Print results on stdout, and context and notices on stderr."""
    from kit.bench import paired
    from kit.bench.rows import as_json as record
    from kit.bench.rows import find_slower_than_float, list_rows
    from kit.commands.common import device_tables, latency_table
    from kit.commands.common.output_checks import report_left_out
    from kit.notices import as_json as as_json_notice

    tables = [list_rows(one.results) for one in measured]
    # The settings of a sweep are measured sequentially, so they are not paired.
    swept = any(result.recommended for one in measured for result in one.results)
    if as_json:
        compared = [] if swept else [c for table in tables for c in paired.compare(table)]
        output = {
            "results": [record(row) for table in tables for row in table],
            "comparisons": [paired.as_json(c) for c in compared],
            "notices": [as_json_notice(n) for t in tables for n in find_slower_than_float(t)],
            "recommended": {one.serial: _recommended(one) for one in measured},
        }
        terminal.print_json(output)
    for one, table in zip(measured, tables, strict=True):
        if not as_json:
            latency_table.print_rows(table)
            device_tables.show(one.results, table, sustained)
        for line in latency_table.describe_context(table):
            terminal.print_note(make_one_line(line))
        for line in latency_table.list_doubts(table):
            terminal.echo(make_one_line(line), err=True)
        for result in one.results:
            report_left_out(result.bundle)


def _recommended(one: Measured) -> dict[str, dict[str, object]]:
    return {
        r.bundle.name: {name: best.model_dump() for name, best in r.recommended.items()}
        for r in one.results
        if r.recommended
    }
