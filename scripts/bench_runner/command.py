"""The native runner against a bare loop around the same runtime, in turns, process by process."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kit import formats
from kit.devices import local
from kit.runners import drive, native
from kit.runners.native import RunnerSet
from kit.runners.protocol import Request

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule

BARE = Path(__file__).with_name("bare.cpp")
SHARE, ABSOLUTE_US = 0.02, 20.0  # the larger of the two is the limit

Model = Callable[[int], "tuple[GraphModule, Tensor]"]
Quantize = Callable[[str, "GraphModule", "Tensor"], "GraphModule"]


@dataclass
class Pair:
    """Medians in µs of the processes of one format, by turn."""

    name: str
    runner: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)

    @property
    def cost(self) -> tuple[float, float, float]:
        """Return the median difference of a turn in µs, and its 95 % interval."""
        from scipy import stats

        differences = [r - b for r, b in zip(self.runner, self.bare, strict=True)]
        around = stats.quantile_test(differences, q=0.0, p=0.5).confidence_interval(0.95)
        return statistics.median(differences), float(around.low), float(around.high)

    @property
    def allowed(self) -> float:
        """Return the largest permitted cost, in µs."""
        return max(ABSOLUTE_US, SHARE * statistics.median(self.bare))


def add_options(parser: argparse.ArgumentParser, model: Model, quantize: Quantize) -> None:
    """Describe the options.

    Args:
        parser: of the command.
        model: gives a float model of a resolution, and pictures for it.
        quantize: gives its quantized graph for a flow.
    """
    add = parser.add_argument
    add("--resolution", type=int, default=96, help="default 96")
    add("--turns", type=int, default=10, help="pairs of processes; default 10")
    add("--samples", type=int, default=300, help="of each process; default 300")
    names = ",".join(native.list_installed())
    add("--format", default=names, help=f"default {names}")
    parser.set_defaults(run=lambda arguments: run(arguments, model, quantize))


def run(arguments: argparse.Namespace, model: Model, quantize: Quantize) -> int:
    """Compare, print, and return 1 if a limit is not held."""
    made, images = model(arguments.resolution)
    runners = native.build(local_abi(), arguments.format.split(","), print)
    with tempfile.TemporaryDirectory() as folder:
        requests = {
            runner.format: prepare(runner, made, images, quantize, arguments, Path(folder))
            for runner in runners
        }
        pairs = [compare(r, requests[r.format], arguments.turns, Path(folder)) for r in runners]
    return print_verdict(pairs, arguments)


def local_abi() -> str:
    machine = os.uname().machine
    return {"aarch64": "arm64-v8a"}.get(machine, machine)


def prepare(
    runner: RunnerSet,
    model: GraphModule,
    images: Tensor,
    quantize: Quantize,
    arguments: argparse.Namespace,
    folder: Path,
) -> Request:
    """Write the int8 model of a format, and return the request to both programs."""
    member = formats.get_format(runner.format)
    file = folder / f"model{member.suffix}"
    member.export(quantize(member.flow, model, images), (images[:1],), file)
    (folder / "input.bin").write_bytes(images[:1].numpy().astype("<f4").tobytes())
    return Request(
        format=runner.format,
        model=str(file),
        input=str(folder / "input.bin"),
        inputs=f"float32:{','.join(map(str, images[:1].shape))}",
        out=str(folder / "out.bin"),
        warmup=20,
        warmup_seconds=0.0,
        iters=arguments.samples,
        min_seconds=0.0,
        max_seconds=600.0,
        threads=1,
        cpus=f"{1 << max(os.sched_getaffinity(0)):x}",
    )


def compare(runner: RunnerSet, request: Request, turns: int, folder: Path) -> Pair:
    """Run both programs in fresh processes, A B B A."""
    bare = folder / f"bare-{runner.format}"
    native.compile_program(runner.abi, runner.format, BARE, bare)
    pair = Pair(runner.format)
    take = {
        "runner": lambda: by_runner(runner, request),
        "bare": lambda: by_bare(runner, bare, request),
    }
    for turn in range(turns):
        for name in sorted(take, reverse=turn % 2 == 0):
            getattr(pair, name).append(statistics.median(take[name]()) / 1e3)
    return pair


def by_runner(runner: RunnerSet, request: Request) -> Sequence[int]:
    command = runner.command(str(runner.folder))
    variables = drive.make_environment(request.threads)
    return drive.run(local.open(None), request, variables, command).samples


def by_bare(runner: RunnerSet, program: Path, request: Request) -> Sequence[int]:
    *loader, _ = runner.command(str(runner.folder))
    # The runner makes one inference before its warm-up.
    words = replace(request, warmup=request.warmup + 1).arguments()
    done = subprocess.run(
        [*loader, str(program), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
        env={**os.environ, **drive.make_environment(request.threads)},
    )
    return [int(line) for line in done.stdout.split()]


def print_verdict(pairs: Sequence[Pair], arguments: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    title = f"int8 MobileNetV2 at {arguments.resolution} px, one thread, {arguments.turns} pairs"
    grid = Table("format", title=title, title_justify="left")
    for head in ("bare loop µs", "runner µs", "cost µs", "95 % interval", "allowed µs", ""):
        grid.add_column(head, justify="right")
    words = [verdict(pair) for pair in pairs]
    for pair, word in zip(pairs, words, strict=True):
        cost, low, high = pair.cost
        grid.add_row(
            *(pair.name, f"{statistics.median(pair.bare):.1f}"),
            *(f"{statistics.median(pair.runner):.1f}", f"{cost:+.1f}"),
            *(f"{low:+.1f} to {high:+.1f}", f"{pair.allowed:.1f}", word),
        )
    Console(width=100).print(grid)
    print(f"limit: {SHARE:.0%} of the bare loop or {ABSOLUTE_US:g} µs, the larger one")
    return int(any(word != "held" for word in words))


def verdict(pair: Pair) -> str:
    _, low, high = pair.cost
    if low > pair.allowed:
        return "NOT HELD"
    return "held" if high <= pair.allowed else "too noisy"
