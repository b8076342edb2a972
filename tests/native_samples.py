"""Native runners as tests use them: built once, run here, or an emulated Arm processor."""

from __future__ import annotations

import copy
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from kit import formats
from kit.algorithms import get_algorithm
from kit.devices import local
from kit.errors import MissingTool
from kit.models import get_model
from kit.runners import drive, emulation, native
from kit.runners.native import RunnerSet
from kit.runners.protocol import Request
from kit.runners.toolchain import ABIS
from kit.runners.transcript import Transcript

SHAPE = (1, 3, 96, 96)
HERE = next((abi.name for abi in ABIS.values() if abi.native), None)
Command = Callable[[RunnerSet], list[str]]


def here(runner: RunnerSet) -> list[str]:
    """Return the command of a runner in the cache."""
    return runner.command(str(runner.folder))


@cache
def runner(name: str) -> RunnerSet:
    """Return this machine's runner for a format; builds it if necessary."""
    if HERE is None:
        pytest.skip("there are no native runners for this system")
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    return _build(HERE, name)


@cache
def arm_runner(name: str) -> RunnerSet:
    """Return a runner for arm64-v8a; fetches a wheel and builds it if necessary."""
    if shutil.which("aarch64-linux-gnu-g++") is None:
        pytest.skip("aarch64-linux-gnu-g++ is not installed")
    try:
        return _build("arm64-v8a", name)
    except MissingTool as exc:
        pytest.skip(exc.message)


def _build(abi: str, name: str) -> RunnerSet:
    """Build a runner once: one worker compiles it while the others wait."""
    lock = Path(tempfile.gettempdir()) / f"kit-tests-{os.getuid()}-{abi}-{name}.lock"
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        (result,) = native.build(abi, [name])
    return result


def emulated(root: Path, processor: str = "cortex-a76") -> Command:
    """Return the command that emulates an arm64 runner, with a folder in place of host files."""

    def command(result: RunnerSet) -> list[str]:
        try:
            return emulation.make_command(result, emulation.find_processor(processor), root)
        except MissingTool as exc:
            pytest.skip(exc.message)

    return command


def run(result: RunnerSet, request: Request, command: Command = here) -> Transcript:
    """Run a request to its end, like `kit bench`."""
    return drive.run(
        local.open(None), request, drive.make_environment(request.threads), command(result), 60.0
    )


def export(folder: Path, name: str, method: str) -> Path:
    """Write the first blocks of MobileNetV2, with the random weights of a seed, in one format."""
    import torch

    from kit.quantize.graph import fold
    from kit.quantize.options import Options

    member = formats.get_format(name)
    images = torch.from_numpy(pictures(8))
    model = settled(images)
    graph = fold(model)  # formats take graphs
    if method == "static":
        options = Options(granularity="per-channel", output_margin=1.0)
        quantize = get_algorithm("static").quantize
        graph = quantize(graph, member.flow, images, options).graph
    file = folder / f"{name}-{method}{member.suffix}"
    member.export(graph, (images[:1],), file)
    return file


def settled(images):
    """Return a network with BatchNorm statistics of pictures: untrained ones return zeros."""
    return copy.deepcopy(_settled(len(images)))


@cache
def _settled(count: int):
    import torch
    from torch import nn

    images = torch.from_numpy(pictures(count))

    torch.manual_seed(0)
    whole = get_model("mobilenet_v2").build(0.35, 1000)
    blocks = whole.features[:4]  # every kind of layer: lowering the others takes minutes
    width = blocks[-1].conv[-1].num_features
    ends = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 1000)]
    model = nn.Sequential(blocks, *ends)
    model.train()
    with torch.no_grad():
        for _ in range(20):
            model(images)
    return model.eval()


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, *SHAPE[1:])).astype(np.float32)


def request(folder: Path, name: str, model: Path) -> Request:
    """Return a short request whose files lie in a folder."""
    (folder / "in.bin").write_bytes(pictures(1).tobytes())
    return Request(
        format=name,
        model=str(model),
        input=str(folder / "in.bin"),
        inputs=f"float32:{','.join(map(str, SHAPE))}",
        out=str(folder / "out.bin"),
        warmup=2,
        warmup_seconds=0.0,
        iters=5,
        min_seconds=0.0,
        max_seconds=60.0,
        threads=1,
    )


def answer(request: Request) -> np.ndarray:
    return np.fromfile(request.out, dtype="<f4")


def by_python(request: Request, folder: Path) -> np.ndarray:
    """Return the answers of the Python runner, run in a separate process."""
    own = replace(request, out=str(folder / "python.bin"))
    drive.run(local.open(None), own, drive.make_environment(1))
    return answer(own)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
