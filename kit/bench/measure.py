"""Measuring: fresh runner processes, interleaved, then the memory, then the context."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import kit
from kit import bundle as bundles
from kit import family
from kit.bench import answers, gates
from kit.bundle import REFERENCE, Bundle
from kit.devices import local
from kit.devices._contract import Device, Folder
from kit.errors import UnknownName, UsageError
from kit.results import store
from kit.results.schema import Context, LatencyResult, Plan, Process, Run
from kit.runners import drive
from kit.runners.protocol import Request, Transcript

Progress = Callable[[int, int, str], None]  # processes done, of how many, what runs now

# Memory is a pass of its own: a few inferences, so that samples are not held meanwhile.
_MEMORY = Plan(
    name="custom", warmup_runs=0, warmup_seconds=0, runs=3, seconds=0, repeats=1, max_seconds=60
)


@dataclass
class _Target:
    """One format of one bundle, and what its processes said so far."""

    bundle: Bundle
    name: str
    quantize: str
    expected: answers.Array
    request: Request
    heard: list[Transcript] = field(default_factory=list)
    memory: Transcript | None = None
    off_by: float = 0.0


def measure(
    bundle: Bundle | str | Path,
    formats: Sequence[str] | None = None,
    plan: Plan | None = None,
    progress: Progress | None = None,
) -> LatencyResult:
    """Measure the latency of a bundle's formats on this machine.

    Args:
        bundle: a bundle or its folder.
        formats: of the bundle, and ``reference`` for eager fp32 PyTorch; default: all of
            the bundle's.
        plan: how; default: `Plan`'s own values, see `kit.bench.plan.preset` for others.
        progress: called before each process.

    Raises:
        BundleError: it is no bundle, or lacks a format.
        RunError: a runner failed, or gave another answer than the bundle's golden output.
    """
    return measure_all([bundle], formats, plan, progress)[0]


def measure_all(
    given: Sequence[Bundle | str | Path],
    formats: Sequence[str] | None = None,
    plan: Plan | None = None,
    progress: Progress | None = None,
    device: Device | None = None,
) -> list[LatencyResult]:
    """Measure several bundles side by side: one result each, in their order.

    Processes are interleaved over formats and bundles (A B C, A B C, …), so that a
    machine that gets warm or busy does the same to all. A float model that several
    bundles share is measured with the first of them.

    Raises:
        UsageError: nothing to measure, or `UnknownName`, a format that does not exist.
        BundleError: see `measure`.
        RunError: see `measure`.
    """
    for name in formats or ():
        if name not in (known := (*family.names("formats"), REFERENCE)):
            raise UnknownName.among("format", name, known)
    plan, device = plan or Plan(), device or local.open(None)
    loaded = [b if isinstance(b, Bundle) else bundles.load(b) for b in given]
    variables = drive.environment(plan.threads)
    with device.folder() as folder:
        targets = _targets(loaded, formats, plan, folder)
        before = device.context(variables)
        _run_all(device, folder, targets, plan, variables, progress or (lambda *_: None))
        after = device.context(variables, before.load_before)
    context = before.model_copy(update={"load_after": after.load_after, "others": after.others})
    now = datetime.now(UTC)
    return [
        LatencyResult(
            kit_version=kit.__version__,
            created=now,
            bundle=store.describe(bundle),
            runs=tuple(_result(t, device, plan, context) for t in targets if t.bundle is bundle),
        )
        for bundle in loaded
    ]


def _targets(
    loaded: Sequence[Bundle], formats: Sequence[str] | None, plan: Plan, folder: Folder
) -> list[_Target]:
    found, references = [], set()
    for bundle in loaded:
        names = [a.format for a in bundle.manifest.artifacts] if formats is None else formats
        for name in dict.fromkeys(names):
            if name == REFERENCE:
                digest = bundle.manifest.files[bundle.file(name).name].sha256
                if digest in references and len(names) > 1:
                    continue
                references.add(digest)
            found.append(_target(bundle, name, plan, folder))
    if not found:
        raise UsageError("there is no format to measure", "name a bundle and --format lite,onnx")
    return found


def _target(bundle: Bundle, name: str, plan: Plan, folder: Folder) -> _Target:
    quantize = "none" if name == REFERENCE else bundle.manifest.artifact(name).quantize
    image, expected = answers.load(bundle, name)
    raw = image.astype("<f4").tobytes()
    digest = hashlib.sha256(raw).hexdigest()[:16]
    request = Request(
        format=name,
        model=folder.put(bundle.file(name)),
        input=folder.write(f"{digest}.bin", raw),
        shape=image.shape,
        out=folder.path("answer.bin"),
        warmup=plan.warmup_runs,
        warmup_seconds=plan.warmup_seconds,
        iters=plan.runs,
        min_seconds=plan.seconds,
        max_seconds=plan.max_seconds,
        threads=plan.threads,
    )
    return _Target(bundle, name, quantize, expected, request)


def _run_all(
    device: Device,
    folder: Folder,
    targets: Sequence[_Target],
    plan: Plan,
    variables: Mapping[str, str],
    progress: Progress,
) -> None:
    passes = ["time"] * plan.repeats + ["memory"] * (plan.name != "quick")
    jobs = [(kind, target) for kind in passes for target in targets]
    for done, (kind, target) in enumerate(jobs):
        progress(done, len(jobs), f"{target.bundle.path.name} {target.name}: {kind}")
        request = target.request if kind == "time" else _for_memory(target.request)
        transcript = drive.run(device, request, variables)
        answer = folder.read("answer.bin")
        off = answers.check(target.name, target.quantize, answer, target.expected)
        if kind == "memory":
            target.memory = transcript
        else:
            target.heard.append(transcript)
        target.off_by = max(target.off_by, off)
    progress(len(jobs), len(jobs), "done")


def _for_memory(request: Request) -> Request:
    return Request(
        **{
            **vars(request),
            "warmup": _MEMORY.warmup_runs,
            "warmup_seconds": _MEMORY.warmup_seconds,
            "iters": _MEMORY.runs,
            "min_seconds": _MEMORY.seconds,
            "max_seconds": _MEMORY.max_seconds,
        }
    )


def _result(target: _Target, device: Device, plan: Plan, context: Context) -> Run:
    processes = tuple(_process(t) for t in target.heard)
    start = target.heard[0].start
    memory = target.memory.mem if target.memory else None
    obeyed = start.obeyed if start else None
    versions = {**context.versions, **(start.versions if start else {})}
    return Run(
        format=target.name,
        quantize=target.quantize,
        device=device.ref,
        via="python",
        plan=plan,
        threads=obeyed,
        processes=processes,
        peak_rss=memory.peak_rss if memory else None,
        base_rss=memory.base_rss if memory else None,
        golden_max_abs=target.off_by,
        context=context.model_copy(update={"versions": versions}),
        warnings=gates.warnings(context, plan, obeyed, processes),
    )


def _process(heard: Transcript) -> Process:
    assert heard.load is not None  # `Transcript.missing` has looked
    assert heard.first is not None
    assert heard.end is not None
    return Process(
        load_ns=heard.load.ns,
        first_ns=heard.first.ns,
        samples_ns=tuple(heard.samples),
        cpu_ns=heard.end.cpu_ns,
    )
