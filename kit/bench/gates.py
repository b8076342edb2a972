"""What makes a measurement less trustworthy: pure functions that give notices.

Those about the machine name no format, so that all runs of one measurement carry the same
notice and a report says it once. Their texts are in `kit.notices`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from operator import and_

from kit.bench import cores, stability
from kit.bench.stability import Stability
from kit.notices import Notice, new_notice
from kit.results import statistics
from kit.results.schema import Context, Plan, Process

BUSY = 0.25  # share of the cores that others may use
SLACK = 0.3  # cores used beyond the threads asked for
LEAST_FOR_P99 = 100
MOST_ADVISED = 50  # processes; what needs more is noise that has to be found
_MOST_MASKS = 2  # that are named; a device may report another one for each process
_SLOW_GOVERNORS = ("powersave", "conservative")


def examine(
    context: Context,
    plan: Plan,
    obeyed: int | None,
    processes: Sequence[Process],
    kind: str = "local",
    cpus: Iterable[str] = (),
) -> tuple[Notice, ...]:
    """Return what to know before believing the samples of one run, the gravest first.

    Args:
        context: of the measurement.
        plan: how it was to be done.
        obeyed: threads that the runtime says it used.
        processes: with their samples.
        kind: of the device, see `kit.results.schema.DeviceRef`.
        cpus: masks of the cores that the kernel gave to the processes.
    """
    found = stability.assess([p.samples_ns for p in processes])
    return (
        *examine_machine(context, plan, kind),
        *examine_conditions(plan, processes),
        *examine_cores(plan, cpus),
        *examine_threads(plan, obeyed, processes),
        *examine_stability(found, plan.precision),
        *examine_count(plan, processes),
    )


def examine_machine(context: Context, plan: Plan, kind: str = "local") -> Iterator[Notice]:
    """Warn of a busy machine, a slow governor, and more threads than cores.

    Android's load average counts threads that wait for hardware: it says nothing there.
    """
    if plan.threads > context.cores:
        yield new_notice("machine.too-many-threads", threads=plan.threads, cores=context.cores)
    if context.others is not None:
        if context.others > BUSY * context.cores:
            yield new_notice("machine.busy", others=context.others, cores=context.cores)
    elif kind in ("local", "virtual") and context.load_before > max(0.7, BUSY * context.cores):
        yield new_notice("machine.loaded", load=context.load_before, cores=context.cores)
    if context.governor in _SLOW_GOVERNORS:
        yield new_notice("machine.slow-governor", governor=context.governor)


def examine_conditions(plan: Plan, processes: Sequence[Process]) -> Iterator[Notice]:
    """Warn of a device that was hot, or that slowed itself down."""
    seen = [condition for process in processes for condition in process.conditions]
    warm = [c.temperature_c for c in seen if c.temperature_c is not None]
    if warm and max(warm) > plan.cool_c:
        yield new_notice("device.warm", temperature=max(warm), limit=plan.cool_c)
    statuses = {c.thermal_status for c in seen if c.thermal_status not in (None, "none")}
    if statuses:
        yield new_notice("device.thermal-status", statuses=tuple(sorted(map(str, statuses))))


def examine_cores(plan: Plan, cpus: Iterable[str]) -> Iterator[Notice]:
    """Warn when the kernel gave other cores than it was asked for.

    It leaves out, without a word, what is switched off or kept from the program.
    """
    given = dict.fromkeys(
        mask for mask in cpus if plan.cpus and int(mask, 16) != int(plan.cpus, 16)
    )
    if given:
        spans = [cores.spans(cores.numbers(mask)) for mask in given]
        others = ["others"] * (len(spans) > _MOST_MASKS)
        yield new_notice(
            "cores.not-given",
            asked=cores.spans(cores.numbers(plan.cpus)),
            given=" and ".join(spans[:_MOST_MASKS] + others),
            mask=f"{_common(given):x}",
        )


def _common(masks: Iterable[str]) -> int:
    """Return the mask of the cores that are in all masks, or else the one with the fewest."""
    values = [int(mask, 16) for mask in masks]
    return reduce(and_, values) or min(values, key=int.bit_count)


def examine_threads(
    plan: Plan, obeyed: int | None, processes: Sequence[Process]
) -> Iterator[Notice]:
    """Warn when the runtime took another number of threads than it was given."""
    if obeyed is not None and obeyed != plan.threads:
        yield new_notice("threads.not-obeyed", taken=obeyed, asked=plan.threads)
    used = cores_used(processes)
    if used is not None and used > plan.threads + SLACK:
        yield new_notice("threads.exceeded", used=used, asked=plan.threads)


def cores_used(processes: Sequence[Process]) -> float | None:
    """Return CPU time over wall time while the samples were taken, None if not recorded."""
    cpu = [p.cpu_ns for p in processes if p.cpu_ns is not None]
    wall = sum(sum(p.samples_ns) for p in processes)
    return sum(cpu) / wall if len(cpu) == len(processes) and wall else None


def examine_stability(
    found: Stability, precision: float = stability.HALF_WIDTH
) -> Iterator[Notice]:
    """Warn of samples that are not one number, or not known to the plan's precision."""
    if found.modes is not None:
        low, high = found.modes
        yield new_notice("samples.two-groups", low=low, high=high)
    if found.spread is not None and found.spread > stability.SPREAD:
        yield new_notice("processes.apart", spread=found.spread)
    if abs(found.drift) > stability.DRIFT:
        code = "samples.slower" if found.drift > 0 else "samples.faster"
        yield new_notice(code, change=abs(found.drift))
    if len(found.medians) < statistics.LEAST_PROCESSES:
        needed = statistics.LEAST_PROCESSES
        yield new_notice("processes.few", processes=len(found.medians), needed=needed)
    elif found.half_width is None:
        yield new_notice("samples.few")
    elif found.half_width > precision:
        yield new_notice("median.not-resolved", half_width=found.half_width)
        yield from _advise_more(found.medians, precision)


def _advise_more(medians: Sequence[float], precision: float) -> Iterator[Notice]:
    """Advise more processes or longer ones, whichever helps; nothing where neither would."""
    needed = statistics.processes_needed(medians, precision, MOST_ADVISED)
    if needed is None:
        return
    if needed <= len(medians):
        yield new_notice("samples.more")
    else:
        yield new_notice("processes.more", processes=needed)


def examine_count(plan: Plan, processes: Sequence[Process]) -> Iterator[Notice]:
    """Warn of samples that time did not allow, and of a p99 that is the maximum."""
    fewest = min(len(p.samples_ns) for p in processes)
    if fewest < plan.runs:
        yield new_notice(
            "samples.cut-short", taken=fewest, planned=plan.runs, seconds=plan.max_seconds
        )
    total = sum(len(p.samples_ns) for p in processes)
    if total < LEAST_FOR_P99:
        yield new_notice("samples.few-for-p99", needed=LEAST_FOR_P99)
