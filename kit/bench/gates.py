"""Checks of a measurement's trustworthiness: pure functions that return notices.

Notices about the machine name no format, so that all runs of one measurement have the same
one and a report shows it once. Their texts are in `kit.notices`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from operator import and_

from kit.bench import cores, stability
from kit.bench.stability import Stability
from kit.notices import Notice, make_notice
from kit.results import statistics
from kit.results.context import Context
from kit.results.latency import Plan, Process

BUSY = 0.25  # share of the cores that others may use
SLACK = 0.3  # cores that may be used beyond the requested threads
MIN_FOR_P99 = 100
MAX_ADVISED = 50  # processes; if more are needed, look for the source of the noise instead
_MAX_MASKS = 2  # in a notice; each process may have been given another one
_SLOW_GOVERNORS = ("powersave", "conservative")


def examine(
    context: Context,
    plan: Plan,
    threads_reported: int | None,
    processes: Sequence[Process],
    kind: str = "local",
    cpus: Iterable[str] = (),
) -> tuple[Notice, ...]:
    """Return all notices about the samples of one run, the most serious first.

    Args:
        context: of the measurement.
        plan: of the measurement.
        threads_reported: number of threads by the runtime's own account, None if unknown.
        processes: with their samples.
        kind: of the device, see `kit.results.context.DeviceRef`.
        cpus: affinity masks of the processes, read back from the kernel.
    """
    assessment = stability.assess([p.samples_ns for p in processes])
    return (
        *examine_machine(context, plan, kind),
        *examine_conditions(plan, processes),
        *examine_cores(plan, cpus),
        *examine_threads(plan, threads_reported, processes),
        *examine_stability(assessment, plan.precision),
        *examine_count(plan, processes),
    )


def examine_machine(context: Context, plan: Plan, kind: str = "local") -> Iterator[Notice]:
    """Warn of a busy machine, a slow governor, and more threads than cores.

    Android's load average is ignored: it counts threads that wait for hardware, too.
    """
    if plan.threads > context.cores:
        yield make_notice("machine.too-many-threads", threads=plan.threads, cores=context.cores)
    if context.others is not None:
        if context.others > BUSY * context.cores:
            yield make_notice("machine.busy", others=context.others, cores=context.cores)
    elif kind in ("local", "virtual") and context.load_before > max(0.7, BUSY * context.cores):
        yield make_notice("machine.loaded", load=context.load_before, cores=context.cores)
    if context.governor in _SLOW_GOVERNORS:
        yield make_notice("machine.slow-governor", governor=context.governor)


def examine_conditions(plan: Plan, processes: Sequence[Process]) -> Iterator[Notice]:
    """Warn of a device that was hot or throttled."""
    conditions = [condition for process in processes for condition in process.conditions]
    temperatures = [c.temperature_c for c in conditions if c.temperature_c is not None]
    if temperatures and max(temperatures) > plan.cool_c:
        yield make_notice("device.warm", temperature=max(temperatures), limit=plan.cool_c)
    statuses = {c.thermal_status for c in conditions if c.thermal_status not in (None, "none")}
    if statuses:
        yield make_notice("device.thermal-status", statuses=tuple(sorted(map(str, statuses))))


def examine_cores(plan: Plan, cpus: Iterable[str]) -> Iterator[Notice]:
    """Warn when the processes did not run on the requested cores.

    The kernel silently drops cores that are offline or forbidden to the process.
    """
    differing = dict.fromkeys(
        mask for mask in cpus if plan.cpus and int(mask, 16) != int(plan.cpus, 16)
    )
    if differing:
        spans = [cores.format_spans(cores.list_cores(mask)) for mask in differing]
        others = ["others"] * (len(spans) > _MAX_MASKS)
        yield make_notice(
            "cores.not-given",
            asked=cores.format_spans(cores.list_cores(plan.cpus)),
            given=" and ".join(spans[:_MAX_MASKS] + others),
            mask=f"{_common(differing):x}",
        )


def _common(masks: Iterable[str]) -> int:
    """Return the intersection of all masks, or the smallest mask if that is empty."""
    values = [int(mask, 16) for mask in masks]
    return reduce(and_, values) or min(values, key=int.bit_count)


def examine_threads(
    plan: Plan, threads_reported: int | None, processes: Sequence[Process]
) -> Iterator[Notice]:
    """Warn when the runtime used another number of threads than requested."""
    if threads_reported is not None and threads_reported != plan.threads:
        yield make_notice("threads.not-obeyed", taken=threads_reported, asked=plan.threads)
    used = compute_cores_used(processes)
    if used is not None and used > plan.threads + SLACK:
        yield make_notice("threads.exceeded", used=used, asked=plan.threads)


def compute_cores_used(processes: Sequence[Process]) -> float | None:
    """Return CPU time over wall time during sampling, None if not recorded."""
    cpu = [p.cpu_ns for p in processes if p.cpu_ns is not None]
    wall = sum(sum(p.samples_ns) for p in processes)
    return sum(cpu) / wall if len(cpu) == len(processes) and wall else None


def examine_stability(
    assessment: Stability, precision: float = stability.HALF_WIDTH
) -> Iterator[Notice]:
    """Warn of samples that are not one distribution, or of an imprecise median."""
    if assessment.modes is not None:
        low, high = assessment.modes
        yield make_notice("samples.two-groups", low=low, high=high)
    if assessment.spread is not None and assessment.spread > stability.SPREAD:
        yield make_notice("processes.apart", spread=assessment.spread)
    if abs(assessment.drift) > stability.DRIFT:
        code = "samples.slower" if assessment.drift > 0 else "samples.faster"
        yield make_notice(code, change=abs(assessment.drift))
    if len(assessment.medians) < statistics.MIN_PROCESSES:
        needed = statistics.MIN_PROCESSES
        yield make_notice("processes.few", processes=len(assessment.medians), needed=needed)
    elif assessment.half_width is None:
        yield make_notice("samples.few")
    elif assessment.half_width > precision:
        yield make_notice("median.not-resolved", half_width=assessment.half_width)
        yield from _advise_more(assessment.medians, precision)


def _advise_more(medians: Sequence[float], precision: float) -> Iterator[Notice]:
    """Advise more processes or more samples, whichever helps; nothing if neither would."""
    needed = statistics.count_needed_processes(medians, precision, MAX_ADVISED)
    if needed is None:
        return
    if needed <= len(medians):
        yield make_notice("samples.more")
    else:
        yield make_notice("processes.more", processes=needed)


def examine_count(plan: Plan, processes: Sequence[Process]) -> Iterator[Notice]:
    """Warn of samples that the time limit cut short, and of too few for a p99."""
    fewest = min(len(p.samples_ns) for p in processes)
    if fewest < plan.runs:
        yield make_notice(
            "samples.cut-short", taken=fewest, planned=plan.runs, seconds=plan.max_seconds
        )
    total = sum(len(p.samples_ns) for p in processes)
    if total < MIN_FOR_P99:
        yield make_notice("samples.few-for-p99", needed=MIN_FOR_P99)
