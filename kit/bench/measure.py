"""Measure latency in fresh, interleaved runner processes, then memory, then the context."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import kit
from kit.bench import fits, gates, passes, targets, turns
from kit.bench import runner as runners
from kit.bench.passes import MeasurementSession
from kit.bench.stopping import StoppingRule
from kit.bench.targets import Pass, Target
from kit.bundles import loading
from kit.bundles.bundle import Bundle
from kit.devices import local
from kit.devices.fingerprint import identify
from kit.devices.interface import Device
from kit.progress import Progress
from kit.results import store
from kit.results.context import Context
from kit.results.latency import LatencyResult, Plan, Run
from kit.runners import drive


def measure(
    bundle: Bundle | str | Path,
    formats: Sequence[str] | None = None,
    plan: Plan | None = None,
    progress: Progress | None = None,
    device: Device | None = None,
) -> LatencyResult:
    """Measure the latency of a bundle's formats on this machine or a device.

    Args:
        bundle: a bundle or its folder.
        formats: names of formats or of files of the bundle, and ``reference`` for eager fp32
            PyTorch; default: all of the bundle's.
        plan: default: `Plan`'s own values; see `kit.bench.plan.get_preset` for presets.
        progress: called before each process.
        device: default: this machine; `kit.devices.adb.open` opens others.

    Raises:
        BundleError: it is no bundle, or has no file of a format.
        RunError: a runner failed, or its answer differs from the bundle's golden output.
        DeviceError: the device cannot be used, or was lost.
    """
    return measure_all([bundle], formats, plan, progress, device)[0]


def measure_all(
    sources: Sequence[Bundle | str | Path],
    formats: Sequence[str] | None = None,
    plan: Plan | None = None,
    progress: Progress | None = None,
    device: Device | None = None,
    runner: runners.RunnerKind = "auto",
    profile: bool = False,
    measurement: str | None = None,
) -> list[LatencyResult]:
    """Measure several bundles side by side: one result each, in their order.

    Processes are interleaved over formats and bundles (`kit.bench.turns`), so that a machine
    that gets warm or busy does the same to all. A float model that several
    bundles share is measured with the first of them.

    Args:
        sources: bundles or their folders.
        formats: see `measure`.
        plan: see `measure`.
        progress: called before each process.
        device: see `measure`.
        runner: see `kit.bench.runner.choose`.
        profile: also measure the time of single operators, in processes of their own.
        measurement: id of the measurement that this is a part of; None for a new one.

    Raises:
        UsageError: nothing to measure, or `UnknownName`: a format does not exist.
        BundleError: see `measure`.
        RunError: see `measure`.
        DeviceError: see `measure`.
    """
    plan, device = plan or Plan(), device or local.open(None)
    report = progress or (lambda *_: None)
    # Copies, because a bundle that is given twice is measured as two.
    loaded = [copy(b) if isinstance(b, Bundle) else loading.load_bundle(b) for b in sources]
    loading.check_named(loaded, formats or ())
    only_native = runner == "native" or (device.ref.kind != "local" and runner != "app")
    fits.check(loaded, formats, only_native)
    identity = identify(device.fingerprint, measurement)
    keys = [key for b in loaded for key in targets.select_keys(b, formats, only_native)]
    names = dict.fromkeys(key.format for key in keys)
    sets = runners.choose(device, names, runner, lambda text: report(0, 1, text))
    variables = drive.make_environment(plan.threads)
    with device.folder() as folder:
        is_here = device.ref.kind == "local"
        report(0, 1, "preparing files" if is_here else f"pushing files to {device.ref.name}")
        installed = {name: runners.install(sets.get(name), folder, runner) for name in names}
        prepared = targets.prepare(loaded, formats, plan, folder, installed, only_native)
        before = device.context(variables)
        session = MeasurementSession(device, folder, plan, variables)
        _run_all(session, prepared, report, profile)
        after = device.context(variables, before.load_before)
    context = before.model_copy(update={"load_after": after.load_after, "others": after.others})
    runs = [(target.bundle, _run(target, device, plan, context)) for target in prepared]
    now = datetime.now(UTC)
    return [
        LatencyResult(
            kit_version=kit.__version__,
            created=now,
            identity=identity,
            bundle=store.describe(bundle),
            runs=tuple(run for measured, run in runs if measured is bundle),
        )
        for bundle in loaded
    ]


def _run_all(
    session: MeasurementSession, all_targets: Sequence[Target], progress: Progress, profile: bool
) -> None:
    plan = session.plan
    rest: list[Pass] = []
    rest += ["memory"] if plan.memory else []
    rest += ["profile"] if profile else []
    rule = StoppingRule(all_targets, plan)
    done = 0
    for count, turn in enumerate(turns.order_rounds(all_targets)):
        reason = rule.next_round(count)
        if reason is None:
            break
        total = (max(plan.repeats, count + 1) + len(rest)) * len(all_targets)
        for target in turn:
            progress(done, total, f"{target.label}: time{reason.value}")
            passes.run(session, target, "time")
            done += 1
    total = done + len(rest) * len(all_targets)
    for kind in rest:
        for target in all_targets:
            progress(done, total, f"{target.label}: {kind}")
            passes.run(session, target, kind)
            done += 1
    progress(total, total, "done")


def _run(target: Target, device: Device, plan: Plan, context: Context) -> Run:
    start = target.transcript.start if target.transcript else None
    memory = target.memory.mem if target.memory else None
    threads_reported = start.obeyed if start else None
    reported = target.runner.kept_versions(start.versions) if start else {}
    versions = {**reported, **context.versions}  # this machine's own take precedence
    runtime = store.find_runtime(target.bundle, target.key.name)
    processes = tuple(target.processes)
    notices = gates.examine(
        context, plan, threads_reported, processes, device.ref.kind, target.cpus
    )
    return Run(
        **asdict(target.key),
        quantize=target.quantize,
        artifact_sha256=store.find_digest(target.bundle, target.key.name),
        runtime=f"{runtime} {versions.get(runtime, '')}".strip(),
        device=device.ref,
        via=target.runner.via,
        plan=plan,
        threads=threads_reported,
        processes=processes,
        peak_rss=memory.peak_rss if memory else None,
        base_rss=memory.base_rss if memory else None,
        golden_max_abs=target.golden_max_abs,
        cpus=start.cpus if start else None,
        resolved=passes.is_resolved(processes, plan),
        operators=target.operators,
        context=context.model_copy(update={"versions": versions}),
        notices=notices,
    )
