"""Results as `kit bench` and `kit eval` write them, for the tests of the report.

The samples come from a seeded generator: they are inputs of a test, not measurements.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import numpy as np

from kit.artifact_key import derive_precision
from kit.results.accuracy import AccuracyResult, AccuracyRow, Metric
from kit.results.context import (
    ArtifactRef,
    BundleRef,
    Context,
    DeviceRef,
    Fingerprint,
    HostRef,
    Identity,
    ParityRef,
    SourceRef,
)
from kit.results.latency import LatencyResult, Plan, Process, Run

WHEN = datetime(2025, 11, 24, 9, 30, tzinfo=UTC)
RUNTIMES = {"lite": "torch 2.14.1", "executorch": "executorch 1.5.1", "onnx": "onnxruntime 1.32.0"}
INT8_BYTES = {"lite": 4_350_112, "executorch": 3_762_480, "onnx": 3_655_870}
FP32_BYTES = {"lite": 14_180_224, "executorch": 14_251_776, "onnx": 14_002_310}
INT8_MS = {"lite": 23.1, "executorch": 3.9, "onnx": 4.4}
FP32_MS = {"lite": 17.6, "executorch": 8.2, "onnx": 7.4}
LOCAL = DeviceRef(kind="local", name="this machine")
PHONE = DeviceRef(kind="phone", name="Pixel 8", serial="38A1")
VIRTUAL = DeviceRef(kind="virtual", name="vdev-arm64-qemu", serial="127.0.0.1:5555")
CONTEXT = Context(
    cpu="AMD EPYC 9R14",
    cores=2,
    machine="x86_64",
    os="Linux 6.18",
    governor=None,
    load_before=0.31,
    load_after=0.92,
    mhz=(3695.1, 3701.9),
    memory_total=8_222_000_000,
    versions={"kit": "0.1.0", "python": "3.11.7", "torch": "2.14.1"},
    environment={"OMP_WAIT_POLICY": "passive"},
)


def bundle(quantize: str = "static", **changes: Any) -> BundleRef:
    sizes = FP32_BYTES if quantize == "none" else INT8_BYTES
    how = "fp32" if quantize == "none" else f"{quantize}-per-channel"
    fields: dict[str, Any] = {
        "name": f"mobilenet_v2-224-{how}",
        "hash": ("f" if quantize == "none" else "a") * 64,
        "model": "mobilenet_v2",
        "quantize": quantize,
        "granularity": "per-channel",
        "resolution": 224,
        "artifacts": tuple(
            ArtifactRef(
                format=name,
                precision=derive_precision(quantize),
                quantize=quantize,
                size=size,
                sha256=digest(name, quantize),
                runtime=RUNTIMES[name],
                parity=parity(name, quantize),
            )
            for name, size in sizes.items()
        ),
    }
    return BundleRef(**{**fields, **changes})


def digest(name: str, quantize: str) -> str:
    """Return a SHA-256 for a file of the samples."""
    return hashlib.sha256(repr((name, quantize)).encode()).hexdigest()


def identity(number: int = 1, **device: Any) -> Identity:
    """Return the identity of a numbered measurement on a device of its own."""
    fields: dict[str, Any] = {
        "model": "X13SAE",
        "soc": "AMD EPYC 9R14",
        "build": "Linux 6.18",
        "abi": "x86_64",
        "cores": 4,
    }
    return Identity(
        measurement=f"{number:032x}"[::-1],
        device=Fingerprint(**{**fields, **device}),
        host=HostRef(name="bench-1", cpu="AMD EPYC 9R14", machine="x86_64", os="Linux 6.18"),
        source=SourceRef(revision="5e" * 20, dirty=True),
    )


def parity(name: str, quantize: str) -> tuple[ParityRef, ...]:
    exact = name == "lite"
    graph = ParityRef(
        against="quantized graph",
        images=50,
        max_abs=0.0 if exact else 2.4,
        sqnr_db=None if exact else 24.6,
        agreement=1.0 if exact else 0.96,
    )
    reference = ParityRef(
        against="float reference", images=50, max_abs=6.1, sqnr_db=15.2, agreement=0.94
    )
    return (graph, reference) if quantize != "none" else (graph,)


def samples(median_ms: float, count: int, seed: int) -> tuple[int, ...]:
    draw = np.random.default_rng(seed)
    slow = 1 + 0.9 * (draw.random(count) < 0.02) * draw.random(count)
    drift = 1 + 0.03 * np.linspace(-1, 0, count)
    return tuple(int(1e6 * median_ms * v) for v in draw.lognormal(0, 0.025, count) * slow * drift)


def run(name: str, quantize: str, median_ms: float, **changes: Any) -> Run:
    seed = sum(map(ord, name + quantize))
    processes = tuple(
        Process(
            load_ns=int(1e6 * (40 + 3 * index)),
            first_ns=int(2.5e6 * median_ms),
            samples_ns=samples(median_ms * (1 + 0.01 * index), 150, seed + index),
        )
        for index in range(3)
    )
    fields: dict[str, Any] = {
        "format": name,
        "precision": derive_precision(quantize),
        "quantize": quantize,
        "artifact_sha256": digest(name, quantize),
        "runtime": RUNTIMES.get(name, "torch 2.14.1"),
        "device": LOCAL,
        "via": "python",
        "plan": Plan(),
        "processes": processes,
        "peak_rss": 214_000_000,
        "golden_max_abs": 0.0 if name == "lite" else 1.2e-6,
        "context": CONTEXT,
    }
    return Run(**{**fields, **changes})


def latency(quantize: str = "static", **changes: Any) -> LatencyResult:
    medians = FP32_MS if quantize == "none" else INT8_MS
    runs = [run(name, quantize, median) for name, median in medians.items()]
    if quantize != "none":
        runs.append(run("reference", "none", 20.4))
    fields: dict[str, Any] = {
        "kit_version": "0.1.0",
        "created": WHEN,
        "identity": identity(),
        "bundle": bundle(quantize),
        "runs": tuple(runs),
    }
    return LatencyResult(**{**fields, **changes})


def accuracy(quantize: str = "static", **changes: Any) -> AccuracyResult:
    def row(name: str, how: str, right: int, agreement: float, sqnr: float | None) -> AccuracyRow:
        return AccuracyRow(
            format=name,
            precision=derive_precision(how),
            quantize=how,
            images=468,
            top1=right / 468,
            top5=min(1.0, (right + 62) / 468),
            agreement=agreement,
            sqnr_db=sqnr,
            images_per_second=31.4,
        )

    scores = (
        (("lite", 387, 0.955, 18.3), ("executorch", 386, 0.96, 18.1), ("onnx", 384, 0.951, 17.2))
        if quantize != "none"
        else (("lite", 388, 1.0, 118.0), ("executorch", 388, 1.0, 121.0), ("onnx", 388, 1.0, 119.0))
    )
    rows = [row(name, quantize, right, agree, sqnr) for name, right, agree, sqnr in scores]
    fields: dict[str, Any] = {
        "kit_version": "0.1.0",
        "created": WHEN,
        "identity": identity(2),
        "bundle": bundle(quantize),
        "pictures": "imagenet-500.zip",
        "pictures_sha256": "9d" * 32,
        "rows": (row("reference", "none", 388, 1.0, None), *rows),
    }
    return AccuracyResult(**{**fields, **changes})


def everything() -> list[LatencyResult | AccuracyResult]:
    return [latency(), latency("none"), accuracy(), accuracy("none")]


def segmented(**changes: Any) -> AccuracyResult:
    """Return an evaluation of a segmentation: no top-1, and a mean IoU."""
    result = accuracy(task="image-segmentation", **changes)
    rows = [
        row.model_copy(
            update={
                "top1": None,
                "top5": None,
                "metrics": (
                    Metric(name="mean IoU", value=90.0 - number, unit="%"),
                    Metric(name="pixel accuracy", value=99.0, unit="%"),
                ),
            }
        )
        for number, row in enumerate(result.rows)
    ]
    return result.model_copy(update={"rows": tuple(rows)})
