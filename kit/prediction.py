"""Answers of a bundle's files to samples of the user, here or on a device.

The float model always answers first, on this machine. Each file runs in a process of its own
(`kit.formats.isolated`), on a device in its native runner (`kit.bench.runner`). A file that cannot
run, or fails, does not keep the others from answering.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from kit import formats
from kit.artifact_key import FLOAT_MODEL, REFERENCE, ArtifactKey
from kit.bench import runner as runners
from kit.bundles import loading
from kit.bundles.bundle import Bundle
from kit.devices.interface import Device, Folder
from kit.errors import BundleError, DeviceError, KitError, RunError
from kit.formats.isolated import IsolatedSession, open_session
from kit.progress import ReportStatus
from kit.runners import drive
from kit.runners.protocol import Request
from kit.signature import Samples, TensorSpec, format_specs, unpack
from kit.tasks import get_task
from kit.tasks.answers import AnswerContext
from kit.tasks.interface import describe_bundle

AT_ONCE = 16  # samples in memory, and of one run on a device
_THREADS = 1


class _Runs(Protocol):
    """Runs one file."""

    def __call__(self, samples: Samples) -> Samples:
        """Return the answers, named by position.

        Raises:
            KitError: the file cannot be run.
        """


@dataclass
class Predictor:
    """The files of a bundle that answer.

    Attributes:
        outputs: of the model.
        left_out: names of the files that do not run, each with the reason.
        failed: errors of files, by name; they answer no more.
    """

    outputs: tuple[TensorSpec, ...]
    left_out: dict[str, str]
    runs: dict[str, _Runs]
    failed: dict[str, KitError] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Return the names of the files that answer, the float model first."""
        return [name for name in self.runs if name not in self.failed]

    def answer(self, samples: Samples) -> dict[str, Samples]:
        """Return the answers by the name of the file; files that fail are in `failed`.

        Raises:
            DeviceError: the device cannot be used any more.
        """
        answers = {}
        for name in self.names:
            try:
                answers[name] = self._checked(name, self.runs[name](samples))
            except DeviceError:
                raise
            except KitError as exc:
                self.failed[name] = exc
        return answers

    def _checked(self, name: str, answers: Samples) -> Samples:
        actual, expected = format_specs(answers.specs), format_specs(self.outputs)
        if actual != expected:
            raise RunError(f"{name} answers with {actual}, not {expected}", "build it again")
        if not answers.are_finite:
            raise RunError(f"{name} answered with NaN or infinity", "build it again")
        return Samples(self.outputs, answers.arrays)


def describe_context(bundle: Bundle, top: int) -> AnswerContext:
    """Return what the bundle's task needs to show answers.

    Raises:
        BundleError: the golden answers of the float model cannot be read.
    """
    files = bundle.manifest.golden.outputs.get(REFERENCE)
    golden = bundle.read_answers(files) if files else None
    return AnswerContext(describe_bundle(bundle), golden, top, scores=bundle.manifest.scores)


@contextmanager
def open_predictor(
    bundle: Bundle,
    names: Sequence[str] | None = None,
    device: Device | None = None,
    report_status: ReportStatus = lambda text: None,
) -> Iterator[Predictor]:
    """Start the files of a bundle, which are ended with the block.

    Args:
        bundle: whose task must be installed.
        names: of formats or files, beside the float model; None for all.
        device: that runs them; None for this machine. The float model always runs here.
        report_status: called with what is being done on the device.

    Raises:
        UnknownName: there is no such format or task.
        BundleError: the bundle has no such file, or none that can run.
        DeviceError: the device cannot be used.
    """
    get_task(bundle.manifest.task)
    loading.check_named([bundle], names or ())
    files = None if names is None else [name for name in names if name != REFERENCE]
    keys = bundle.manifest.select(files)
    left_out = {key.name: why for key in keys if (why := _find_obstacle(bundle, key, device))}
    runnable = [key for key in keys if key.name not in left_out]
    if keys and not runnable:
        name, why = next(iter(left_out.items()))
        raise BundleError(f"no file can answer: {name} {why}", "name others with --format")
    with ExitStack() as stack:
        runs: dict[str, _Runs] = {}
        for key in (FLOAT_MODEL, *(runnable if device is None else ())):
            path = bundle.file(key.name).resolve()
            session = stack.enter_context(open_session(key, path, _THREADS))
            runs[key.name] = partial(_run_here, session)
        if device is not None and runnable:
            runs |= _open_on_device(stack, bundle, runnable, device, report_status)
        yield Predictor(bundle.manifest.signature.outputs, left_out, runs)


def _run_here(session: IsolatedSession, samples: Samples) -> Samples:
    return session.predict(samples)[0]


def _find_obstacle(bundle: Bundle, key: ArtifactKey, device: Device | None) -> str:
    """Return why a file cannot run, to follow its name; empty if it can."""
    if not bundle.manifest.artifact(key.name).executed:
        return "was lowered for other devices: nothing here runs it"
    if device is not None and formats.get_format(key.format).native is None:
        return f"has no native runner, which {device.ref.name} needs"
    return ""


def _open_on_device(
    stack: ExitStack,
    bundle: Bundle,
    keys: Sequence[ArtifactKey],
    device: Device,
    report_status: ReportStatus,
) -> dict[str, _Runs]:
    names = dict.fromkeys(key.format for key in keys)
    sets = runners.choose(device, names, "auto", report_status)
    folder = stack.enter_context(device.folder())
    if device.ref.kind != "local":
        report_status(f"pushing files to {device.ref.name}")
    installed = {name: runners.install(sets.get(name), folder) for name in names}
    runs: dict[str, _Runs] = {}
    for key in keys:
        model = folder.put(bundle.file(key.name))
        place = _Place(device, folder, key, installed[key.format], model)
        runs[key.name] = partial(place.run, outputs=bundle.manifest.signature.outputs)
    return runs


@dataclass(frozen=True)
class _Place:
    """A file on a device, and its runner."""

    device: Device
    folder: Folder
    key: ArtifactKey
    runner: runners.Runner
    model: str

    def run(self, samples: Samples, outputs: tuple[TensorSpec, ...]) -> Samples:
        """Return the answers to all samples, of one process.

        Raises:
            RunError: the runner fails, or its answers have other shapes.
        """
        request = Request(
            format=self.key.format,
            model=self.model,
            input=self.folder.write("samples.bin", samples.pack()),
            inputs=format_specs(samples.specs),
            out=self.folder.path("answers.bin"),
            warmup=0,
            warmup_seconds=0.0,
            iters=1,
            min_seconds=0.0,
            max_seconds=60.0,
            threads=_THREADS,
            rows=len(samples),
        )
        variables = drive.make_environment(_THREADS)
        transcript = drive.run(self.device, request, variables, self.runner.command)
        self.runner.check_versions(transcript.start.versions if transcript.start else {})
        size = len(samples) * sum(spec.size for spec in outputs)
        content = self.folder.read("answers.bin", size)
        if len(content) != size:
            raise RunError(
                f"{self.key.name}: the runner wrote {len(content)} bytes instead of {size}",
                "build the bundle again on this machine",
            )
        return unpack(outputs, content)
