"""`kit predict`: the answers of a bundle's files to samples of one's own, side by side."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kit import terminal
from kit.commands.common.answer_files import PictureFolder, choose_file, write_answers
from kit.commands.common.option_types import OUTPUT_TEXT_PATH, PATH, TEXT_PATH, make_list_option
from kit.errors import KitError, SampleError, UsageError
from kit.text import make_one_line

if TYPE_CHECKING:
    from kit.bundles.bundle import Bundle
    from kit.devices.interface import Device
    from kit.prediction import Predictor
    from kit.signature import Samples
    from kit.tasks.answers import AnswerContext, SampleList, ShownAnswer
    from kit.tasks.interface import Task

STDIN = "-"
MAX_STDIN = 64 * 2**20


@click.command("predict")
@click.argument("bundle", type=PATH)
@click.argument("source", type=TEXT_PATH, metavar="PICTURE|FOLDER|FILE|-")
@click.option(
    "--device",
    metavar="SERIAL",
    help="A serial, HOST:PORT, or `auto`: ANDROID_SERIAL, or else the only device. The float model "
    "answers on this machine. Default: this machine.",
)
@make_list_option(
    "--format",
    "names",
    metavar="F,…",
    help="Comma-separated formats or files, such as onnx or onnx-fp32, beside the float model. "
    "Default: all of the bundle.",
)
@click.option("--top", type=click.IntRange(1), default=5, help="Labels of each file. Default: 5.")
@click.option(
    "--save",
    "save",
    type=OUTPUT_TEXT_PATH,
    metavar="FILE|DIR/",
    help="Write the answers: what --json prints to FILE.json, raw outputs to FILE.npz, masks of a "
    "segmentation or drawn boxes to the folder DIR/.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def command(
    bundle: Path,
    source: str,
    device: str | None,
    names: str | None,
    top: int,
    save: str | None,
    as_json: bool,
) -> None:
    """Answers of BUNDLE's files to a picture, side by side, the float model first.

    A folder or zip gives a table for each picture; `-` reads one picture from stdin. Of tasks of
    text, samples are the lines of a .txt or .csv, or of stdin; of the task tensors, .npz files.
    What cannot run is named on stderr. Exit code 3 if a picture is damaged, 6 if a runtime
    failed; all others are answered nevertheless.
    """
    from kit.bundles import loading
    from kit.prediction import describe_context, open_predictor
    from kit.tasks import get_task

    requested = None if names is None else [n.strip() for n in names.split(",") if n.strip()]
    if requested == []:
        raise UsageError("--format names nothing", "for example: --format onnx,lite")
    loaded = loading.load_bundle(bundle)
    task = get_task(loaded.manifest.task)
    save_file = None if save is None else choose_file(save, task.draws, task.name)
    context = describe_context(loaded, top)
    collected = _Collected()
    with _open_source(source, task) as place, _open_device(device) as chosen:
        samples = task.open_samples(context.inputs, place)
        drawn = None
        if save is not None and save_file is None:
            drawn = PictureFolder(Path(save), samples.names, "mask")
        with open_predictor(loaded, requested, chosen, _report_status) as predictor:
            for name, sample, answers in _answer(samples, predictor, collected):
                shown = _describe(task, answers, replace(context, sample=sample))
                collected.add(name, answers, shown, keep=save_file is not None)
                if drawn is not None:
                    for file, one in answers.items():
                        drawn.write(name, file, task.draw_answer(one, sample, context))
                if not as_json:
                    _show(name, shown)
            _note(loaded, predictor, collected)
            record = _record(loaded, chosen, predictor, collected)
    if as_json:
        terminal.print_json(record)
    if save_file is not None:
        write_answers(save_file, record, collected.names, collected.raw)
    if drawn is not None:
        terminal.print_note(f"{drawn.count} pictures are in {make_one_line(str(save))}")
    errors = [*collected.damaged.values(), *predictor.failed.values()]
    for error in errors[1:]:
        terminal.print_error(error.message, error.hint)
    if errors:
        raise errors[0]


@dataclass
class _Collected:
    """Answers so far.

    Attributes:
        names: of the samples that were answered.
        shown: by the name of the file, for each sample.
        raw: answers by the name of the file, for each sample; empty unless they are saved.
        damaged: errors of samples, by name.
        notes: how the numbers came about.
    """

    names: list[str] = field(default_factory=list)
    shown: list[dict[str, ShownAnswer]] = field(default_factory=list)
    raw: list[dict[str, Samples]] = field(default_factory=list)
    damaged: dict[str, KitError] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)

    def add(
        self, name: str, raw: dict[str, Samples], shown: dict[str, ShownAnswer], keep: bool
    ) -> None:
        """Add the answers to a sample; the raw ones only to `keep` them."""
        self.names.append(name)
        self.shown.append(shown)
        if keep:
            self.raw.append(raw)
        self.notes |= {answer.note: None for answer in shown.values() if answer.note}


def _answer(
    samples: SampleList, predictor: Predictor, collected: _Collected
) -> Iterator[tuple[str, Samples, dict[str, Samples]]]:
    """Yield name and content of each readable sample, and the answers by the name of the file."""
    import numpy as np

    from kit.prediction import AT_ONCE
    from kit.signature import Samples

    for start in range(0, len(samples.names), AT_ONCE):
        read: dict[int, Samples] = {}
        for index in range(start, min(start + AT_ONCE, len(samples.names))):
            try:
                read[index] = samples.read(index)
            except SampleError as exc:
                collected.damaged[samples.names[index]] = exc
        if not read:
            continue
        ones = list(read.values())
        columns = zip(*(one.arrays for one in ones), strict=True)
        answers = predictor.answer(Samples(ones[0].specs, tuple(map(np.concatenate, columns))))
        for row, index in enumerate(read):
            yield (
                samples.names[index],
                read[index],
                {name: one.take([row]) for name, one in answers.items()},
            )


def _describe(
    task: Task, answers: dict[str, Samples], context: AnswerContext
) -> dict[str, ShownAnswer]:
    """Return what is shown of the answers to one sample, by the name of the file."""
    from kit.artifact_key import REFERENCE

    right = replace(context, reference=answers.get(REFERENCE))
    return {
        file: task.show_answer(one, context if file == REFERENCE else right)
        for file, one in answers.items()
    }


@contextmanager
def _open_source(source: str, task: Task) -> Iterator[Path]:
    """Yield the path of the samples; what stdin holds is written to a temporary file."""
    if source != STDIN:
        yield Path(source)
        return
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError(
            f"- reads a {task.sample} from stdin, which is a terminal",
            f"cat {task.sample.upper()} | kit predict BUNDLE -",
        )
    from kit.files import temporary

    content = sys.stdin.buffer.read(MAX_STDIN + 1)
    if not content or len(content) > MAX_STDIN:
        what = "is empty" if not content else f"holds more than {MAX_STDIN >> 20} MB"
        raise SampleError(f"stdin {what}", f"pipe a {task.sample} into it")
    with temporary.make_folder() as folder:
        file = folder / "stdin"
        file.write_bytes(content)
        yield file


@contextmanager
def _open_device(choice: str | None) -> Iterator[Device | None]:
    from contextlib import closing

    from kit.commands.common import measurement

    serials = measurement.choose_serials(choice)
    if len(serials) > 1:
        raise UsageError(f"--device names {len(serials)} devices", "name one")
    if serials == [measurement.LOCAL]:
        yield None
        return
    from kit.devices import adb

    with closing(adb.open(serials[0])) as device:
        yield device
        measurement.warn(device)


def _report_status(text: str) -> None:
    terminal.print_note(text)


def _show(name: str, shown: dict[str, ShownAnswer]) -> None:
    from itertools import zip_longest

    from rich.table import Table

    table = Table(
        *(make_one_line(file) for file in shown), title=make_one_line(name), title_justify="left"
    )
    for cells in zip_longest(*(answer.lines for answer in shown.values()), fillvalue=""):
        table.add_row(*cells)
    terminal.print_table(table)


def _note(bundle: Bundle, predictor: Predictor, collected: _Collected) -> None:
    """Print what did not answer, and how the numbers came about, on stderr."""
    for note in collected.notes:
        terminal.print_note(f"note: {note}")
    for name, why in predictor.left_out.items():
        terminal.echo(f"{name} {why}", err=True)
    for failure in bundle.manifest.failed:
        terminal.echo(
            f"{failure.name} is not in the bundle, "
            f"its build failed: {make_one_line(failure.reason)}",
            err=True,
        )


def _record(
    bundle: Bundle, device: Device | None, predictor: Predictor, collected: _Collected
) -> dict[str, object]:
    pairs = zip(collected.names, collected.shown, strict=True)
    return {
        "bundle": bundle.path.resolve().name,
        "bundle_sha256": bundle.hash,
        "task": bundle.manifest.task,
        "device": None if device is None else device.ref.serial,
        "samples": [
            {"name": name, "answers": {file: dict(one.record) for file, one in shown.items()}}
            for name, shown in pairs
        ],
        "damaged": {name: error.message for name, error in collected.damaged.items()},
        "left_out": predictor.left_out,
        "failed": {name: error.message for name, error in predictor.failed.items()},
    }
