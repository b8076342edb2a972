"""Correctness of comparisons: a bundle against itself, and against 5 % more work.

The network is a row of equal convolutions, so 5 % more work is 21 of them instead of 20.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

from kit.bench import measure, paired
from kit.bench.plan import MAX_PAIRS
from kit.bench.rows import list_rows
from kit.devices.interface import Device
from kit.progress import ReportStatus
from kit.results.latency import Plan

LAYERS = 20
PLAN = Plan(
    name="custom",
    warmup_runs=10,
    warmup_seconds=0.03,
    runs=50,
    seconds=0.3,
    repeats=32,
    max_pairs=MAX_PAIRS,
    max_seconds=10,
    cpus="2",  # one core, on which other work slows both
)


def network(layers: int) -> str:
    """Return the source of a file whose factory `network` gives a network of `layers` layers."""
    return textwrap.dedent(f"""
        from torch import nn

        def network():
            first = nn.Conv2d(3, 48, 3, 2, 1)
            rest = [nn.Conv2d(48, 48, 3, 1, 1) for _ in range({layers})]
            return nn.Sequential(
                first, *rest, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 10)
            ).eval()
    """)


def build(folder: Path, layers: int, format_: str) -> Path:
    """Build the bundle of a network and return its folder."""
    import kit

    source = folder / f"layers_{layers}.py"
    source.write_text(network(layers), encoding="utf-8")
    recipe = kit.make_recipe(
        f"{source}:network",
        weights="random",
        quantize="none",
        resolution=48,
        formats=(format_,),
    )
    return kit.build(recipe, folder / f"bundle-{layers}").path


def compare(device: Device, first: Path, other: Path, format_: str) -> paired.PairedComparison:
    """Return the comparison of two bundles in one measurement."""
    results = measure.measure_all([first, other], [format_], PLAN, device=device)
    return paired.compare(list_rows(results))[0]


def count(
    device: Device, first: Path, other: Path, format_: str, times: int, report_status: ReportStatus
) -> list[paired.PairedComparison]:
    """Compare two bundles again and again."""
    comparisons = []
    for number in range(times):
        comparisons.append(compare(device, first, other, format_))
        last = comparisons[-1]
        ends = last.interval
        width = "" if ends is None else f" ({ends.low:.3f} to {ends.high:.3f})"
        report_status(
            f"{number + 1}/{times}: {last.ratio:.4f}{width}, {last.pairs} pairs, {last.verdict}"
        )
    return comparisons
