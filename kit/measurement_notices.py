"""The part of the catalogue of notices that is about measurements; see `kit.notice_catalogue`."""

from __future__ import annotations

from collections.abc import Mapping

from kit.notice_values import (
    CELSIUS,
    CORES,
    COUNT,
    COUNTS,
    FINE_SHARE,
    LIMIT_CELSIUS,
    LOAD,
    MAX,
    MS,
    MS_FINE,
    RATIO,
    SECONDS,
    SHARE,
    WORD,
    WORDS,
    CatalogueEntry,
)

_OF_INT8 = {"row": WORD, "other": WORD, "own": MS_FINE, "float": MS_FINE, "ratio": RATIO}
# A ratio compares the 2nd percentiles of the samples; see `kit.results.pairs`.
_QUIET_MOMENTS = "in quiet moments (medians: {own} and {float} ms)"
_QUIETER = "close other programs and measure again"
MEASUREMENT_NOTICES: Mapping[str, CatalogueEntry] = {
    "machine.too-many-threads": CatalogueEntry(
        "warning",
        "{threads} threads share {cores} cores, and wait for each other",
        "measure with {cores} threads or fewer",
        {"threads": COUNT, "cores": COUNT},
    ),
    "machine.busy": CatalogueEntry(
        "warning",
        "other programs kept {others} of {cores} cores busy meanwhile",
        _QUIETER,
        {"others": CORES, "cores": COUNT},
    ),
    "machine.loaded": CatalogueEntry(
        "warning",
        "the load average was {load} on {cores} cores at the start",
        f"{_QUIETER}; it covers a minute, so wait one after a build",
        {"load": LOAD, "cores": COUNT},
    ),
    "machine.slow-governor": CatalogueEntry(
        "warning",
        "the governor {governor} keeps the clock low",
        "choose the governor performance, or plug the charger in",
        {"governor": WORD},
    ),
    "device.warm": CatalogueEntry(
        "warning",
        "the battery reached {temperature}, above the {limit} below which processes start",
        "let the device cool down, or wait longer for it",
        {"temperature": CELSIUS, "limit": LIMIT_CELSIUS},
    ),
    "device.thermal-status": CatalogueEntry(
        "warning",
        "the device reported the thermal status {statuses}, in which it lowers its clock",
        "let it cool down and measure again",
        {"statuses": WORDS},
    ),
    "device.left": CatalogueEntry(
        "warning",
        "{reason}",
        "{advice}; the next measurement there restores it",
        {"reason": WORD, "advice": WORD},
    ),
    "device.same": CatalogueEntry(
        "note",
        "{serial} is the same device as {first}: it is used once",
        "",
        {"serial": WORD, "first": WORD},
    ),
    "cores.not-given": CatalogueEntry(
        "warning",
        "of the requested cores {asked} the kernel allowed only {given}",
        "the others are offline or reserved, so measure on those that are allowed",
        {"asked": WORD, "given": WORD, "mask": WORD},
    ),
    "threads.not-obeyed": CatalogueEntry(
        "warning",
        "the runtime used {taken} threads instead of {asked}",
        "compare it with runs of {taken} threads only",
        {"taken": COUNT, "asked": COUNT},
    ),
    "threads.exceeded": CatalogueEntry(
        "warning",
        "{used} cores were busy for {asked} threads, so the runtime ignores the limit",
        "compare with care",
        {"used": CORES, "asked": COUNT},
    ),
    "samples.two-groups": CatalogueEntry(
        "warning",
        "samples cluster around two times, {low} and {high}, so the median describes neither",
        f"look at the plot, {_QUIETER}",
        {"low": MS, "high": MS},
        "the samples of each row cluster around two times, so the medians describe neither",
    ),
    "samples.slower": CatalogueEntry(
        "warning",
        "samples got {change} slower while they were taken, as on a machine that gets hot or busy",
        "let it cool down and measure again",
        {"change": SHARE},
    ),
    "samples.faster": CatalogueEntry(
        "warning",
        "samples got {change} faster while they were taken, as after a short warm-up",
        f"{_QUIETER}, with a longer warm-up",
        {"change": SHARE},
    ),
    "samples.cut-short": CatalogueEntry(
        "warning",
        "a process took {taken} of {planned} samples in {seconds}: the model is slow here",
        "read p90 and p99 with care",
        {"taken": COUNTS, "planned": COUNT, "seconds": SECONDS},
    ),
    "samples.few-for-p99": CatalogueEntry(
        "warning",
        "with fewer than {needed} samples p99 is little more than their maximum",
        "take more samples",
        {"needed": COUNT},
    ),
    "samples.few": CatalogueEntry(
        "warning",
        "there are too few samples for a 95 % interval",
        "take more samples",
    ),
    "samples.more": CatalogueEntry(
        "hint",
        "the processes agree, and each has too few samples",
        "measure longer",
    ),
    "processes.apart": CatalogueEntry(
        "warning",
        "the medians of the processes differ by {spread}, and the next one may differ as much",
        _QUIETER,
        {"spread": SHARE},
    ),
    "processes.few": CatalogueEntry(
        "warning",
        "only {processes} of the {needed} required processes ran, so the median has no "
        "±, and nothing is called faster",
        "measure {needed} or more",
        {"processes": COUNTS, "needed": COUNT},
    ),
    "processes.more": CatalogueEntry(
        "hint",
        "{processes} processes with the spread of these would resolve the median",
        "measure that many",
        {"processes": MAX},
    ),
    "median.not-resolved": CatalogueEntry(
        "warning",
        "not resolved: the median's ± is {half_width}",
        _QUIETER,
        {"half_width": FINE_SHARE},
    ),
    "int8.slower": CatalogueEntry(
        "note",
        f"{{row}} is {{ratio}} slower than {{other}} here {_QUIET_MOMENTS}",
        "",
        _OF_INT8,
    ),
    "int8.slower-on-desktop": CatalogueEntry(
        "note",
        f"{{row}} is {{ratio}} slower than {{other}} here {_QUIET_MOMENTS}",
        "int8 kernels made for phones can lose on a desktop processor, so measure on the phone",
        _OF_INT8,
    ),
    "int8.not-faster": CatalogueEntry(
        "note",
        "{row} is not faster than {other} here (medians: {own} and {float} ms)",
        "",
        {"row": WORD, "other": WORD, "own": MS_FINE, "float": MS_FINE},
    ),
    "int8.few-processes": CatalogueEntry(
        "note",
        f"{{row}} took {{ratio}} the time of {{other}} here {_QUIET_MOMENTS}; fewer than "
        "{needed} processes do not tell whether it is slower",
        "measure {needed} or more",
        {**_OF_INT8, "needed": COUNT},
    ),
    "app.format-missing": CatalogueEntry(
        "refusal",
        "{formats} was not measured, because {apps} does not have it",
        "build the app with it",
        {"formats": WORDS, "apps": WORDS},
    ),
    "app.left-screen": CatalogueEntry(
        "warning",
        "the app left the screen while it measured, and Android may have moved it to slow cores",
        "keep the screen on and do not touch the device",
    ),
}
