"""`kit run`: from a model to a report in one command, which goes on where it was stopped.

Each step is a command of kit that could be typed, and is shown as such. What a step wrote is kept
with the words of its command and the bundle's hash, so that the next run repeats only what changed.
"""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kit import terminal
from kit.commands.common import measurement, recipe_options
from kit.commands.common.option_types import OUTPUT_PATH, PATH, Given, make_list_option
from kit.errors import DeviceError, MissingTool, UsageError

if TYPE_CHECKING:
    from kit.commands.common.run_record import RunRecord

AUTO = "auto"
DONE, KEPT, LEFT_OUT = "done", "kept", "left out"
_PRECISIONS = "fp32,int8"
_BUILD = (
    *("task", "format", "precision", "quantize", "weights", "resolution", "labels", "width"),
    *("color", "pixels", "layout", "preprocess", "recipe", "calibration_images"),
)
_EMULATED = "host,haswell,cortex-a53"  # a processor without VNNI, and one without dot products


@dataclass(frozen=True)
class RunStep:
    """One command of a run.

    Attributes:
        name: for people.
        words: of the command, without ``kit``.
        output: the file or folder that it writes.
        inputs: files and folders whose change makes it run again.
        optional: a missing program or device leaves it out.
    """

    name: str
    words: tuple[str, ...]
    output: Path
    inputs: tuple[Path, ...] = ()
    optional: bool = False

    @property
    def line(self) -> str:
        """Return the command as a person types it."""
        return shlex.join(["kit", *self.words])


@dataclass(frozen=True)
class StepOutcome:
    """What became of a step: ``done``, ``kept`` of an earlier run, or ``left out``."""

    step: RunStep
    state: str
    seconds: float


@click.command("run")
@click.argument("model")
@click.option(
    "--images",
    "--samples",
    "images",
    type=PATH,
    metavar="DIR_OR_ZIP",
    help="Labelled pictures: some calibrate, the others measure accuracy. Default: sample photos "
    "calibrate, and accuracy is not measured.",
)
@click.option("--calibration-images", type=int, help="How many of them calibrate. Default: 32.")
@make_list_option(
    "--format", metavar="F,…", help="Formats to build. Default: those of `kit build`."
)
@make_list_option(
    "--precision",
    metavar="P,…",
    default=_PRECISIONS,
    help=f"Of the files, each format in all of them. Default: {_PRECISIONS}.",
)
@click.option("--quantize", metavar="METHOD", help="Of the int8 files. Default: static.")
@click.option(
    "--task", metavar="TASK", help="What the model is for. Default: image-classification."
)
@click.option("--recipe", type=PATH, metavar="FILE", help="Other options of the build, as TOML.")
@recipe_options.MODEL
@click.option(
    "--device",
    metavar="auto|SERIAL",
    help="Measure there, too. auto: on the only device that is connected, if there is one.",
)
@click.option("--quick", is_flag=True, help="A look: one process for each latency, no emulation.")
@click.option("--again", is_flag=True, help="Repeat all steps, also those whose result is there.")
@click.option(
    "-o",
    "--output",
    type=OUTPUT_PATH,
    help="Folder of bundle, results and report. Default: out/MODEL.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; tables go to stderr.")
def command(
    model: str,
    output: Path | None,
    again: bool,
    as_json: bool,
    **options: Given,
) -> int:
    """Build MODEL in float and int8, evaluate, verify, measure, and report.

    Each step prints its command and its table, and keeps its result: run the same line again to
    go on after an interruption, or after a change, which repeats only what depends on it.
    """
    from kit.commands.common.output_checks import check_folder
    from kit.commands.common.run_record import RunRecord

    _check_device(options["device"])
    folder = output or Path("out") / re.sub(r"[^\w.-]+", "-", Path(model).name)
    check_folder(folder)
    record = RunRecord.open(folder / "run.json", forget=again)
    root = click.get_current_context().find_root()

    def invoke(words: Sequence[str]) -> int:
        group = root.command
        with group.make_context("kit", list(words), default_map=root.default_map) as inner:
            code = group.invoke(inner)
        return code if isinstance(code, int) else 0

    steps = tuple(list_steps(model, folder, options))
    outcomes: list[StepOutcome] = []
    code, began = 0, time.monotonic()
    with terminal.send_stdout_to_stderr() if as_json else nullcontext():
        for number, step in enumerate((*steps, None), 1):
            step = step or _make_report(folder, outcomes)
            so_far = f", {_duration(time.monotonic() - began)} so far" if number > 1 else ""
            terminal.print_note(f"== step {number} of {len(steps) + 1}: {step.name}{so_far}")
            terminal.print_note(f"   {step.line}")
            outcome, step_code = _run_step(step, record, invoke, folder / "bundle")
            outcomes.append(outcome)
            code = code or step_code
    _show_end(folder, outcomes, as_json)
    return code


def _check_device(choice: str | None) -> None:
    """Check before the first step that a device which is named can be used.

    Raises:
        DeviceError: it cannot.
        UsageError: several are named.
    """
    if choice in (None, AUTO, measurement.LOCAL):
        return
    from contextlib import closing

    from kit.devices import selection

    serials = measurement.choose_serials(choice)
    if len(serials) > 1:
        raise UsageError(
            f"--device names {len(serials)} devices, and a run measures on one",
            "`kit bench BUNDLE --device A,B` measures on several afterwards",
        )
    with closing(selection.open_transport(serials[0])):
        pass


def list_steps(model: str, folder: Path, options: dict[str, Given]) -> Iterator[RunStep]:
    """Yield all steps but the report; each reads the bundle of the first."""
    bundle, results = folder / "bundle", folder / "results"
    images, quick = options["images"], options["quick"]
    pictures = () if images is None else (images,)
    words = ["build", model]
    for name in _BUILD:
        if (value := options[name]) is not None:
            text = "x".join(map(str, value)) if isinstance(value, tuple) else str(value)
            words += [f"--{name.replace('_', '-')}", text]
    for name in ("mean", "std"):
        if options[name] is not None:
            words += [f"--{name}", ",".join(map(str, options[name]))]
    if images is not None:
        words += ["--calibrate", str(images)]
    yield RunStep("build", (*words, "-o", str(bundle)), bundle, pictures)
    if images is not None:
        file = results / "accuracy.json"
        words = ["eval", str(bundle), "--images", str(images), "-o", str(file)]
        yield RunStep("accuracy", tuple(words), file, pictures)
    file = results / "processors.json"
    words = ["verify", str(bundle), "--processor", "host" if quick else _EMULATED, "-o", str(file)]
    # Arithmetic of integers differs between processors; emulated float32 takes minutes.
    precisions = str(options["precision"]).split(",")
    if not quick and (quantized := [name for name in precisions if name != "fp32"]):
        words += ["--precision", ",".join(quantized)]
    yield RunStep("processors", tuple(words), file, optional=True)
    speed = ["bench", str(bundle), *(["--quick"] if quick else [])]
    file = results / "latency.json"
    yield RunStep("latency here", (*speed, "-o", str(file)), file)
    if (device := options["device"]) is not None:
        file = results / "latency-device.json"
        words = [*speed, "--device", device, "-o", str(file)]
        yield RunStep("latency on the device", tuple(words), file, optional=device == AUTO)


def _make_report(folder: Path, outcomes: Sequence[StepOutcome]) -> RunStep:
    """Return the step that reports what the others measured, here and not in an earlier run."""
    target = folder / "report"
    results = tuple(one.step.output for one in outcomes[1:] if one.state != LEFT_OUT)
    return RunStep("report", ("report", *map(str, results), "-o", str(target)), target, results)


def _run_step(
    step: RunStep, record: RunRecord, invoke: Callable[[Sequence[str]], int], bundle: Path
) -> tuple[StepOutcome, int]:
    """Run a step unless its result is there; return what became of it, and its exit code."""
    # A build is always asked for: its own cache knows whether anything changed.
    builds = step.output == bundle
    state = None if builds else record.describe(step.words, step.inputs, bundle)
    if state is not None and step.output.exists() and record.get(step.name) == state:
        terminal.print_note("   kept: nothing that it depends on has changed")
        return StepOutcome(step, KEPT, 0.0), 0
    began = time.monotonic()
    step.output.parent.mkdir(parents=True, exist_ok=True)
    try:
        code = invoke(step.words)
    except (MissingTool, DeviceError) as exc:
        if not step.optional:
            raise
        terminal.echo(f"   left out: {exc.message}\n   hint: {exc.hint}", err=True)
        return StepOutcome(step, LEFT_OUT, time.monotonic() - began), 0
    if state is not None and code == 0:
        record.keep(step.name, state)
    return StepOutcome(step, DONE, time.monotonic() - began), code


def _write_value(value: Given) -> str:
    """Return the value of an option as it is typed; a size may be height and width."""
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _show_end(folder: Path, outcomes: Sequence[StepOutcome], as_json: bool) -> None:
    bundle, page = folder / "bundle", folder / "report" / "report.html"
    if as_json:
        terminal.print_json(
            {
                "bundle": str(bundle),
                "results": str(folder / "results"),
                "report": str(page),
                "steps": [
                    {
                        "name": one.step.name,
                        "command": one.step.line,
                        "state": one.state,
                        "seconds": round(one.seconds, 1),
                    }
                    for one in outcomes
                ],
            },
            indent=1,
        )
        return
    terminal.echo(f"report: {page}")
    terminal.echo(f"bundle: {bundle}")
    terminal.print_note("next:")
    for line in list_next(bundle):
        terminal.print_note(f"   {line}")


def list_next(bundle: Path) -> list[str]:
    """Return the commands to run next on a bundle, each with its purpose, in columns."""
    quoted = shlex.quote(str(bundle))
    commands = {
        f"kit predict {quoted} PICTURE": "what it answers",
        f"kit bench {quoted} --device SERIAL": "latency on a phone",
        f"kit app build {quoted}": "an Android app with it",
    }
    width = max(map(len, commands))
    return [f"{command:{width}}   {what}" for command, what in commands.items()]
