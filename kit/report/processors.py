"""Tables of results of `kit verify`: whether answers are equal on all processors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from kit.comparison import find_worst
from kit.report import labels, text
from kit.report.cells import Cell, Head, Line
from kit.report.contexts import assume_utc, name_measurement
from kit.report.tables import Table
from kit.report.text import NONE
from kit.results.context import ArtifactRef, ParityRef
from kit.results.processors import ProcessorRef, ProcessorRow, ProcessorsResult

GRAPH, FLOAT = "quantized graph", "float reference"

Results = Sequence[ProcessorsResult]


def tabulate_overview(results: Results) -> Table:
    """Return a table of processors and formats: SQNR against the float model, and equality."""
    processors = dict.fromkeys(p for result in results for p in result.processors)
    groups = [(result, group) for result in results for group in _by_file(result)]
    several = len({result.bundle.hash for result in results}) > 1
    columns = labels.make_unique(
        [
            (
                labels.name_artifact(group[0].key)
                + (f" of {result.bundle.name}" if several else ""),
                f"{assume_utc(result.created):%Y-%m-%d %H:%M:%S}",
                result.identity.measurement[:8] if result.identity else "",
                f"column {number}",
            )
            for number, (result, group) in enumerate(groups, 1)
        ]
    )
    lines = tuple(
        Line(
            _processor_head(processor),
            tuple(
                _cell(group, processor.name) if processor in result.processors else Cell(NONE)
                for result, group in groups
            ),
        )
        for processor in processors
    )
    caption = "SQNR against the float model, dB"
    return Table("processors", caption, tuple(columns), lines, "Processor")


def write_heading(results: Results) -> str:
    """Return the heading of the table."""
    return "On other processors" if _list_emulated(results) else "Answers"


def write_note(results: Results) -> str:
    """Return the sentence above the table: which processors are emulated."""
    emulated = _list_emulated(results)
    if not emulated:
        return "The named processor computed the answers: nothing is emulated. Times are not shown."
    return (
        f"Emulated: {', '.join(emulated)}. The answers are those of the processor's instructions, "
        "and times are not shown."
    )


def _list_emulated(results: Results) -> list[str]:
    names = (one.name for result in results for one in result.processors if one.emulator)
    return list(dict.fromkeys(names))


def _processor_head(processor: ProcessorRef) -> Head:
    marks = ("emulated",) if processor.emulator else ()
    return Head(processor.name, processor.about, "", marks)


def tabulate_details(results: Results) -> Table:
    """Return a table of all numbers of all processors."""
    columns = (
        "Processor",
        "SQNR against the graph, dB",
        "Same answer, %",
        "SQNR against float, dB",
        "Same answer, %",
        "Against the build",
    )
    lines = []
    times = Counter(result.bundle.hash for result in results)
    for result in results:
        processors = {processor.name: processor for processor in result.processors}
        moment = ""
        if times[result.bundle.hash] > 1:
            identity = result.identity.measurement if result.identity else None
            moment = name_measurement(assume_utc(result.created), identity)
        lines += [
            Line(_head(result, row, moment), _numbers(row, processors[row.processor]))
            for row in result.rows
        ]
    return Table("processors-details", "Answers on each processor", columns, tuple(lines))


def write_sentence(results: Results) -> str:
    """Return a sentence on whether answers are equal on all processors."""
    failed = [row for result in results for row in result.rows if not row.passed]
    if failed:
        named = ", ".join(f"{labels.name_artifact(row.key)} on {row.processor}" for row in failed)
        return f"Falls short on some processors: {named}."
    count = len({processor for result in results for processor in result.processors})
    equal = all(
        len({row.answers_sha256 for row in group}) == 1
        for result in results
        for group in _by_file(result)
    )
    what = "are equal bit for bit" if equal else "hold their limits"
    return f"The answers of every format {what} on {text.format_count(count, 'processor')}."


def _by_file(result: ProcessorsResult) -> Iterator[list[ProcessorRow]]:
    for key in dict.fromkeys(row.key for row in result.rows):
        yield [row for row in result.rows if row.key == key]


def _head(result: ProcessorsResult, row: ProcessorRow, moment: str) -> Head:
    subject: ArtifactRef | None = labels.find_artifact(result.bundle, row.key)
    quantize = subject.quantize if subject else row.quantize
    how = labels.describe_method(quantize, result.bundle)
    note = ", ".join(part for part in (how, result.bundle.name, moment) if part)
    return Head(labels.name_artifact(row.key), note, labels.choose_tone(row.key))


def _cell(rows: Sequence[ProcessorRow], processor: str) -> Cell:
    row = next((row for row in rows if row.processor == processor), None)
    if row is None:
        return Cell(NONE)
    parity = _against(row, FLOAT)
    if parity is None:
        return Cell("failed", "no answer", "bad")
    if not row.passed:
        return Cell(text.format_decibels(parity.sqnr_db), "falls short", "bad")
    return Cell(text.format_decibels(parity.sqnr_db), _difference(row), "good")


def _numbers(row: ProcessorRow, processor: ProcessorRef) -> tuple[Cell, ...]:
    cells = [Cell(row.processor, ", ".join(filter(None, (processor.about, processor.emulator))))]
    for against in (GRAPH, FLOAT):
        parity = _against(row, against)
        if parity is None:
            cells += [Cell(NONE), Cell(NONE)]
        else:
            cells += [
                Cell(text.format_decibels(parity.sqnr_db)),
                Cell(text.format_percent(parity.agreement)),
            ]
    return (*cells, Cell(row.error or _difference(row)))


def _against(row: ProcessorRow, against: str) -> ParityRef | None:
    return find_worst(row.parity, against)


def _difference(row: ProcessorRow) -> str:
    if row.golden_max_abs is None:
        return NONE
    return "bit-equal" if row.golden_max_abs == 0 else f"max abs {row.golden_max_abs:.2g}"
