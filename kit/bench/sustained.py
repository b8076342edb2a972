"""Sustained latency: when a device throttles, and how much slower it gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kit.results import statistics
from kit.results.context import Condition
from kit.results.latency import Plan, Process

MINUTE = 60.0
SLOWER = 1.1  # times the first minute's median is throttling
WHOLE = 0.95  # of a minute; the time between samples is in none of them
MIN_MINUTES = 2  # whole ones: the first is the baseline of the others


@dataclass(frozen=True)
class Minute:
    """One minute of a process; None is what the device does not report.

    Attributes:
        median: ms.
        p90: ms.
        temperature_c: of the battery, the highest in this minute.
        mhz: highest clock of any core, averaged over this minute's readings.
        thermal_status: the last reading.
        whole: whether it lasted a minute; the last one may be shorter.
    """

    number: int
    count: int
    median: float
    p90: float
    temperature_c: float | None
    mhz: float | None
    thermal_status: str | None
    whole: bool = True


@dataclass(frozen=True)
class Throttling:
    """How a device throttled.

    Attributes:
        began: the first minute that was `SLOWER` than the first of all.
        slower: median of that minute over the first one's.
        recovered: the minute after the last slow one; None if the last minute was slow.
    """

    began: int
    slower: float
    recovered: int | None


def make_plan(minutes: float, base: Plan) -> Plan:
    """Return a plan of one process that samples for a number of minutes."""
    seconds = minutes * MINUTE
    changes = {
        "name": "custom",
        "runs": 1,
        "seconds": seconds,
        "repeats": 1,
        "max_repeats": None,
        "max_pairs": None,
        "max_seconds": seconds + MINUTE,
    }
    return base.model_copy(update=changes)


def split_minutes(process: Process, length: float = MINUTE) -> list[Minute]:
    """Return the minutes of a process that was sampled without a pause.

    Args:
        process: its samples, in the order they were taken.
        length: of a minute, in seconds.
    """
    conditions = _since_sampling(process)
    split = []
    for number, samples in _split(process.samples_ns, length).items():
        within = [c for c in conditions if number <= c.seconds / length < number + 1]
        split.append(_minute(number + 1, samples, within))
    lasted = sum(process.samples_ns) / 1e9 / length
    return [replace(m, whole=lasted - m.number + 1 >= WHOLE) for m in split]


def find_throttling(measured: Sequence[Minute]) -> Throttling | None:
    """Return when throttling began and ended, None if there was none.

    Args:
        measured: `MIN_MINUTES` whole minutes or more.
    """
    first = measured[0].median
    slow = [minute for minute in measured if minute.median / first >= SLOWER]
    if not slow:
        return None
    after = [minute.number for minute in measured if minute.number > slow[-1].number]
    return Throttling(slow[0].number, slow[0].median / first, after[0] if after else None)


def describe_throttling(measured: Sequence[Minute]) -> str:
    """Return in words whether the device throttled in these minutes."""
    whole = [minute for minute in measured if minute.whole]
    if len(whole) < MIN_MINUTES:
        return (
            f"too short to tell whether it throttles: measure {MIN_MINUTES} whole minutes or more"
        )
    slow = find_throttling(whole)
    if slow is None:
        return f"no throttling in {len(whole)} minutes"
    text = f"throttles from minute {slow.began} on, {slow.slower:.2f}× the time of the first"
    if slow.recovered is None:
        return text
    return f"{text}; from minute {slow.recovered} on it keeps its first pace again"


def _since_sampling(process: Process) -> list[Condition]:
    """Return the conditions while samples were taken, with seconds since the first sample.

    The last one is read when the process ends, that is, after the sum of all samples. Those
    before the first sample are of the load and the warm-up.
    """
    if not process.conditions:
        return []
    start = process.conditions[-1].seconds - sum(process.samples_ns) / 1e9
    return [
        c.model_copy(update={"seconds": c.seconds - start})
        for c in process.conditions
        if c.seconds >= start
    ]


def _split(samples: Sequence[int], length: float) -> dict[int, list[int]]:
    """Return samples by the minute they began in, counted from 0."""
    by_minute: dict[int, list[int]] = {}
    elapsed = 0
    for ns in samples:
        by_minute.setdefault(int(elapsed / (length * 1e9)), []).append(ns)
        elapsed += ns
    return by_minute


def _minute(number: int, samples: Sequence[int], conditions: Sequence[Condition]) -> Minute:
    warm = [c.temperature_c for c in conditions if c.temperature_c is not None]
    clocks = [max(c.mhz) for c in conditions if c.mhz]
    statuses = [c.thermal_status for c in conditions if c.thermal_status]
    return Minute(
        number=number,
        count=len(samples),
        median=statistics.compute_median_ms(samples),
        p90=statistics.compute_percentile_ms(samples, 90),
        temperature_c=max(warm) if warm else None,
        mhz=sum(clocks) / len(clocks) if clocks else None,
        thermal_status=statuses[-1] if statuses else None,
    )
