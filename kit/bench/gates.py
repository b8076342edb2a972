"""What makes a measurement less trustworthy, and what to do about it: pure functions.

Each warning is one sentence and its advice. Those about the machine name no format, so
that all runs of one measurement carry the same text and a report says it once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from kit.bench import cores, stability
from kit.bench.stability import Stability
from kit.results import statistics
from kit.results.schema import Context, Plan, Process

BUSY = 0.25  # share of the cores that others may use
SLACK = 0.3  # cores used beyond the threads asked for
LEAST_FOR_P99 = 100
MOST_ADVISED = 50  # processes; what needs more is noise that has to be found
_SLOW_GOVERNORS = ("powersave", "conservative")
_QUIETER = "close other programs and measure again"


def warnings(
    context: Context,
    plan: Plan,
    obeyed: int | None,
    processes: Sequence[Process],
    kind: str = "local",
    cpus: Iterable[str] = (),
) -> tuple[str, ...]:
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
        *of_machine(context, plan, kind),
        *of_conditions(plan, processes),
        *of_cores(plan, cpus),
        *of_threads(plan, obeyed, processes),
        *of_stability(found, plan.precision),
        *of_count(plan, processes),
    )


def of_machine(context: Context, plan: Plan, kind: str = "local") -> Iterator[str]:
    """Warn of a busy machine, a slow governor, and more threads than cores.

    Android's load average counts threads that wait for hardware: it says nothing there.
    """
    if plan.threads > context.cores:
        yield (
            f"{plan.threads} threads share {context.cores} cores, and wait for each other: "
            f"measure with --threads {context.cores} or fewer"
        )
    if context.others is not None:
        if context.others > BUSY * context.cores:
            yield (
                f"other programs kept {context.others:.1f} of {context.cores} cores busy "
                f"meanwhile: {_QUIETER}"
            )
    elif kind in ("local", "virtual") and context.load_before > max(0.7, BUSY * context.cores):
        yield (
            f"the load average was {context.load_before:.1f} on {context.cores} cores at the "
            f"start: {_QUIETER}; it covers a minute, so wait one after a build"
        )
    if context.governor in _SLOW_GOVERNORS:
        yield (
            f"the governor {context.governor!r} keeps the clock low: `sudo cpupower "
            "frequency-set -g performance`, or plug the charger in"
        )


def of_conditions(plan: Plan, processes: Sequence[Process]) -> Iterator[str]:
    """Warn of a device that was hot, or that slowed itself down."""
    seen = [condition for process in processes for condition in process.conditions]
    warm = [c.temperature_c for c in seen if c.temperature_c is not None]
    if warm and max(warm) > plan.cool_c:
        yield (
            f"the battery had up to {max(warm):.1f} °C, above the {plan.cool_c:g} °C that a "
            "process waits for: let the device cool down, or raise --cool-wait"
        )
    statuses = {c.thermal_status for c in seen} - {None, "none"}
    if statuses:
        yield (
            f"the device reported the thermal status {', '.join(sorted(map(str, statuses)))}: "
            "it slows itself down then, so let it cool down and measure again"
        )


def of_cores(plan: Plan, cpus: Iterable[str]) -> Iterator[str]:
    """Warn when the kernel gave other cores than it was asked for.

    It leaves out, without a word, what is switched off or kept from the program.
    """
    given = dict.fromkeys(
        mask for mask in cpus if plan.cpus and int(mask, 16) != int(plan.cpus, 16)
    )
    if given:
        got = " and ".join(cores.spans(cores.numbers(mask)) for mask in given)
        yield (
            f"of the cores {cores.spans(cores.numbers(plan.cpus))} the kernel gave {got} only: the "
            f"others are off or kept from programs, so measure with --cpus {min(given, key=len)}"
        )


def of_threads(plan: Plan, obeyed: int | None, processes: Sequence[Process]) -> Iterator[str]:
    """Warn when the runtime took another number of threads than it was told."""
    if obeyed is not None and obeyed != plan.threads:
        yield (
            f"the runtime took {obeyed} threads instead of {plan.threads}: compare it with "
            f"runs of {obeyed} threads only"
        )
    used = cores_used(processes)
    if used is not None and used > plan.threads + SLACK:
        yield (
            f"{used:.1f} cores were at work for {plan.threads} threads: the runtime does not "
            "obey the limit, so compare with care"
        )


def cores_used(processes: Sequence[Process]) -> float | None:
    """Return CPU time over wall time while the samples were taken, None if not recorded."""
    cpu = [p.cpu_ns for p in processes if p.cpu_ns is not None]
    wall = sum(sum(p.samples_ns) for p in processes)
    return sum(cpu) / wall if len(cpu) == len(processes) and wall else None


def of_stability(found: Stability, precision: float = stability.HALF_WIDTH) -> Iterator[str]:
    """Warn of samples that are not one number, or not known to the plan's precision."""
    if found.modes is not None:
        low, high = found.modes
        yield (
            f"samples gather around two times, {low:.3g} and {high:.3g} ms, so the median is "
            "neither: another program, a clock that changes or cores of two kinds; look at "
            f"the plot, {_QUIETER}"
        )
    if found.spread is not None and found.spread > stability.SPREAD:
        yield (
            f"medians of the processes are {100 * found.spread:.0f} % apart, and the next one "
            f"may be as far away: {_QUIETER}"
        )
    if abs(found.drift) > stability.DRIFT:
        yield _drifting(found.drift)
    if len(found.medians) < statistics.LEAST_PROCESSES:
        few = "one process does" if len(found.medians) == 1 else "two processes do"
        yield (
            f"{few} not tell how far processes are apart, so the median has no ± and nothing "
            f"is called faster: measure {statistics.LEAST_PROCESSES} or more, without --quick "
            "and --sustained"
        )
    elif found.half_width is None:
        yield "too few samples for a 95 % interval: measure without --quick"
    elif found.half_width > precision:
        yield (
            f"not resolved: the median is known to ±{100 * found.half_width:.1f} % only: "
            f"{_QUIETER}{_more(found.medians, precision)}"
        )


def _more(medians: Sequence[float], precision: float) -> str:
    """Advise more processes or longer ones, whichever helps; nothing where neither would."""
    needed = statistics.processes_needed(medians, precision, MOST_ADVISED)
    if needed is None:
        return ""
    if needed <= len(medians):  # they agree, and each has too few samples
        return ", or measure longer with --official"
    return f", or give --repeats {needed}"


def _drifting(drift: float) -> str:
    if drift > 0:
        return (
            f"samples got {100 * drift:.0f} % slower while they were taken, as on a machine "
            "that gets hot or busy: let it cool down and measure again"
        )
    return (
        f"samples got {-100 * drift:.0f} % faster while they were taken, as after a short "
        f"warm-up or another program that ended: {_QUIETER} (--official warms up for longest)"
    )


def of_count(plan: Plan, processes: Sequence[Process]) -> Iterator[str]:
    """Warn of samples that time did not allow, and of a p99 that is the maximum."""
    fewest = min(len(p.samples_ns) for p in processes)
    if fewest < plan.runs:
        yield (
            f"a process took {fewest} of {plan.runs} samples in its {plan.max_seconds:g} s: "
            "the model is slow here, so read p90 and p99 with care"
        )
    total = sum(len(p.samples_ns) for p in processes)
    if total < LEAST_FOR_P99:
        yield (
            f"with fewer than {LEAST_FOR_P99} samples p99 is little more than their maximum: "
            "measure without --quick"
        )
