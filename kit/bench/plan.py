"""How to measure: three presets."""

from __future__ import annotations

from typing import Literal

from kit.results.schema import Plan

Name = Literal["quick", "default", "official"]

# Medians of processes with a standard deviation of 1 % are known to 2 % after four of them, of
# 2 % after six; ten still come to an end, and their interval covers as it says.
MOST = 10
# A bundle against another, known to 2 %: on a quiet device 16 pairs do, on a shared host where
# other work slowed two in five processes 32, where it slowed two in three 128 (docs/speed.md).
PAIRS = 32
MOST_PAIRS = 128

# MLPerf Inference asks for 1024 queries and 60 s at least of a single stream.
# https://github.com/mlcommons/inference_policies/blob/master/inference_rules.adoc
_PRESETS: dict[Name, Plan] = {
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
    "default": Plan(most_repeats=MOST, most_pairs=PAIRS),
    "official": Plan(
        name="official",
        warmup_runs=50,
        warmup_seconds=5,
        runs=1024,
        seconds=60,
        repeats=3,
        most_repeats=MOST,
        max_seconds=900,
    ),
}


def preset(name: Name, threads: int = 1) -> Plan:
    """Return a preset for a number of threads.

    ``quick`` is a look, with one process and no memory pass; ``default`` is for work;
    ``official`` takes 1024 samples and 60 s in each of three processes. The last two add
    processes, up to ten, while the median is not known to 2 %, and ``default`` up to 32 while
    it is not known how bundles compare.
    """
    return _PRESETS[name].model_copy(update={"threads": threads})
