"""Verify that files compute the same on other processors, with golden inputs under emulation.

Runtimes select kernels by the features of a processor: an int8 file that is right on the machine
that built it may saturate on one without VNNI, or on a phone without dot products. So each
format's native runner answers the bundle's golden inputs under qemu-user. The answers are
compared with those of the quantized graph and the float model, and their hashes with each other.
Times on an emulated processor are meaningless, and are not stored.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import kit
from kit.artifact_key import REFERENCE
from kit.bundles import loading
from kit.bundles.bundle import Bundle
from kit.devices import hostinfo, local
from kit.devices.fingerprint import identify
from kit.errors import BundleError, OutputError, UnknownName, UsageError
from kit.files import temporary
from kit.manifest.artifacts import Artifact
from kit.portability.check import HOST, GoldenAnswers, ProcessorCheck, Runners
from kit.precisions import get_precision
from kit.progress import Progress
from kit.results import store
from kit.results.processors import ProcessorRef, ProcessorRow, ProcessorsResult
from kit.runners import emulation, native
from kit.runners.emulation import Processor
from kit.signature import Samples

ALL = "all"


def select_processors(names: Sequence[str]) -> list[Processor | None]:
    """Return processors by name; None stands for this machine's own.

    Args:
        names: `HOST`, members of `kit.runners.emulation.PROCESSORS`, or `ALL` for this machine's
            and all that the installed qemu emulates correctly.

    Raises:
        UnknownName: there is no such processor.
        UsageError: no name is given, or qemu does not emulate one of them correctly.
        MissingTool: qemu is not installed.
    """
    if not names:
        raise UsageError("--processor names nothing", "for example: --processor haswell,cortex-a53")
    chosen: dict[str, Processor | None] = {}
    for name in names:
        if name == HOST:
            chosen[name] = None
        elif name == ALL:
            chosen |= {HOST: None, **{p.name: p for p in emulation.list_usable_processors()}}
        elif name in emulation.PROCESSORS:
            chosen[name] = emulation.find_processor(name)
        else:
            raise UnknownName.among("processor", name, (HOST, ALL, *emulation.PROCESSORS))
    return list(chosen.values())


def verify_processors(
    bundle: Bundle | str | Path,
    processors: Sequence[str] = (HOST,),
    formats: Sequence[str] | None = None,
    progress: Progress | None = None,
    precisions: Sequence[str] | None = None,
) -> ProcessorsResult:
    """Run a bundle's golden inputs through each format on each processor.

    This machine's own processor is tested with the Python runtime, an emulated one with
    the format's native runner, which is built if it is missing.

    Args:
        bundle: a bundle or its folder.
        processors: see `select_processors`.
        formats: names of the bundle's formats or files; None takes all.
        progress: callback before each row.
        precisions: only files of these; None takes all.

    Raises:
        BundleError: the bundle is broken, has no golden inputs, or lacks a format or a precision.
        UsageError: see `select_processors`.
        UnknownName: there is no such precision.
        MissingTool: qemu, a compiler, or a wheel for building a runner is missing.
        OutputError: the temporary folder cannot be written to.
    """
    loaded = bundle if isinstance(bundle, Bundle) else loading.load_bundle(bundle)
    chosen = select_processors(processors)
    artifacts = _select_precisions(loaded, _artifacts(loaded, formats), precisions)
    golden = _read_golden(loaded)
    report = progress or (lambda *_: None)
    identity = identify(local.open(None).fingerprint)
    runners = _build_runners(chosen, list(dict.fromkeys(a.format for a in artifacts)), report)
    rows: list[ProcessorRow] = []
    with _workspace(golden.inputs) as work:
        for artifact in artifacts:
            for processor in chosen:
                name = processor.name if processor else HOST
                report(len(rows), len(artifacts) * len(chosen), f"{artifact.name} on {name}")
                check = ProcessorCheck(loaded, artifact, golden, work)
                rows.append(check.measure(processor, runners))
    return ProcessorsResult(
        kit_version=kit.__version__,
        created=datetime.now(UTC),
        identity=identity,
        bundle=store.describe(loaded),
        processors=tuple(_refer(processor) for processor in chosen),
        rows=tuple(rows),
    )


def _artifacts(bundle: Bundle, formats: Sequence[str] | None) -> list[Artifact]:
    if formats is not None and not formats:
        raise UsageError("--format names nothing", "for example: --format onnx,lite")
    loading.check_named([bundle], formats or ())
    return [bundle.manifest.artifact(key.name) for key in bundle.manifest.select_runnable(formats)]


def _select_precisions(
    bundle: Bundle, artifacts: list[Artifact], names: Sequence[str] | None
) -> list[Artifact]:
    if names is None:
        return artifacts
    if not names:
        raise UsageError("--precision names nothing", "for example: --precision int8")
    for name in names:
        get_precision(name)
    chosen = [artifact for artifact in artifacts if artifact.precision in names]
    if not chosen:
        have = ", ".join(dict.fromkeys(artifact.precision for artifact in artifacts))
        raise BundleError(
            f"{bundle.path} has no {' or '.join(names)} file to verify", f"it has {have}"
        )
    return chosen


def _read_golden(bundle: Bundle) -> GoldenAnswers:
    golden = bundle.manifest.golden
    if REFERENCE not in golden.outputs:
        raise BundleError(
            f"{bundle.path} has no golden answers of the float model", "build it again"
        )
    answers = golden.outputs[REFERENCE]
    return GoldenAnswers(bundle.read_inputs(), bundle.read_answers(answers))


def _build_runners(
    processors: Sequence[Processor | None], formats: Sequence[str], report: Progress
) -> Runners:
    """Return the native runners of emulated processors, by ABI and format."""
    abis = dict.fromkeys(processor.abi for processor in processors if processor)
    return {
        (abi, runner.format): runner
        for abi in abis
        for runner in native.build(abi, formats, lambda text: report(0, 1, text))
    }


@contextmanager
def _workspace(inputs: Samples) -> Iterator[Path]:
    """Yield a folder with the golden inputs in a file, in the runners' layout."""
    try:
        with temporary.make_folder() as work:
            (work / "in.bin").write_bytes(inputs.pack())
            yield work
    except OSError as exc:
        raise OutputError(
            f"cannot write {exc.filename or 'a temporary file'}: {exc.strerror or exc}",
            "make space there, or point TMPDIR to another folder",
        ) from exc


def _refer(processor: Processor | None) -> ProcessorRef:
    if processor is None:
        machine = platform.machine()
        abi = {"aarch64": "arm64-v8a", "arm64": "arm64-v8a"}.get(machine, machine)
        return ProcessorRef(name=HOST, abi=abi, about=hostinfo.describe(), emulator=None)
    return ProcessorRef(
        name=processor.name,
        abi=processor.abi,
        about=processor.about,
        emulator=emulation.find_emulator(processor.abi).name,
    )
