"""Presets of measurement plans."""

from __future__ import annotations

from typing import Literal

from kit.results.latency import Plan

PlanName = Literal["quick", "default", "official"]

# If medians of processes have a standard deviation of 1 %, four of them give ±2 %; with 2 %, six
# do. Ten bound the time, and the interval still has its nominal coverage.
MAX_REPEATS = 10
# Pairs that compare two bundles to ±2 %: 16 on a quiet device; on a shared host 32 where other
# load slowed two in five processes, 128 where it slowed two in three (docs/speed.md).
DEFAULT_PAIRS = 32
MAX_PAIRS = 128

# MLPerf Inference requires at least 1024 queries and 60 s of a single stream.
# https://github.com/mlcommons/inference_policies/blob/master/inference_rules.adoc
_PRESETS: dict[PlanName, Plan] = {
    "quick": Plan(
        name="quick",
        warmup_runs=3,
        warmup_seconds=0.3,
        runs=20,
        seconds=0.5,
        repeats=1,
        max_seconds=10,
        memory=False,
    ),
    "default": Plan(max_repeats=MAX_REPEATS, max_pairs=DEFAULT_PAIRS),
    "official": Plan(
        name="official",
        warmup_runs=50,
        warmup_seconds=5,
        runs=1024,
        seconds=60,
        repeats=3,
        max_repeats=MAX_REPEATS,
        max_seconds=900,
    ),
}


def get_preset(name: PlanName, threads: int = 1) -> Plan:
    """Return a preset for a number of threads.

    ``quick`` is a first look, with one process and no memory pass; ``default`` is for daily
    work; ``official`` takes 1024 samples and 60 s in each of three processes. The last two add
    processes, up to ten, until the median is precise to 2 %, and ``default`` up to 32 until
    the comparison of bundles is.
    """
    return _PRESETS[name].model_copy(update={"threads": threads})
