"""The result of `kit bench`: every sample, and the plan it was taken by."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from kit.artifact_key import KeyedRecord
from kit.documents import Digest, Record
from kit.notices import Notice
from kit.results.context import BundleRef, Condition, Context, DeviceRef, Identity
from kit.results.schema import (
    MAX_COUNT,
    MAX_SECONDS,
    SCHEMA_VERSION,
    BoundedCount,
    Bytes,
    Many,
    Nanoseconds,
    Sample,
    Seconds,
)


class Operator(Record):
    """Time of one operator in a profiled process, summed over its calls."""

    name: str
    type: str
    calls: int = Field(gt=0, le=MAX_COUNT)
    total_ns: Nanoseconds


class Plan(Record):
    """How to measure; every limit is both a count and a time, and both must be reached.

    Attributes:
        warmup_runs: inferences before the first sample.
        warmup_seconds: minimum duration of the warm-up.
        runs: samples per process.
        seconds: minimum duration of sampling per process.
        repeats: fresh processes.
        max_repeats: processes are added up to this number while the median's interval is
            wider than `precision`; None adds none.
        max_pairs: the same while the ratio of bundles that are measured side by side is not
            resolved, see `kit.bench.stopping`.
        precision: half width of a 95 % interval that is narrow enough, as a share of the
            median or of the ratio.
        max_seconds: a process stops sampling here even if `runs` is not reached.
        threads: of the runtime.
        cpus: mask of the cores to run on, in hexadecimal; empty for all.
        cool_c: a process starts when the battery is no warmer, in degrees Celsius, and the
            thermal status is ``none``; devices without a battery start at once.
        cool_seconds: timeout of the wait for a cool device.
        memory: whether one more process measures the memory.
    """

    name: Literal["quick", "default", "official", "custom"] = "default"
    warmup_runs: int = Field(default=10, ge=0, le=MAX_COUNT)
    warmup_seconds: float = Field(default=0.5, ge=0, le=MAX_SECONDS)
    runs: int = Field(default=100, ge=1, le=MAX_COUNT)
    seconds: float = Field(default=1.0, ge=0, le=MAX_SECONDS)
    repeats: int = Field(default=3, ge=1, le=MAX_COUNT)
    max_seconds: float = Field(default=60.0, gt=0, le=MAX_SECONDS)
    threads: int = Field(default=1, ge=1, le=MAX_COUNT)
    max_repeats: int | None = Field(default=None, ge=1, le=MAX_COUNT)
    max_pairs: int | None = Field(default=None, ge=1, le=MAX_COUNT)
    precision: float = Field(default=0.02, gt=0, lt=1)
    cpus: str = Field(default="", pattern="^[0-9a-f]*$")
    cool_c: float = 38.0
    cool_seconds: float = Field(default=120.0, ge=0, le=MAX_SECONDS)
    memory: bool = True


class Process(Record):
    """What one fresh runner process reported; times in nanoseconds.

    Attributes:
        load_ns: reading the model file, after the runtime was imported.
        first_ns: the first inference.
        samples_ns: one number per inference, after the warm-up.
        cpu_ns: CPU time of all threads while the samples were taken.
        waited: seconds for the device to cool down before the process began.
        conditions: of the device meanwhile.
    """

    load_ns: Nanoseconds
    first_ns: Nanoseconds
    samples_ns: Many[Sample] = Field(min_length=1)
    cpu_ns: Nanoseconds | None = None
    waited: Seconds = 0.0
    conditions: Many[Condition] = ()


class Run(KeyedRecord):
    """All samples of one file, or of the float model, under one plan.

    Attributes:
        artifact_sha256: of the model file that ran; None before schema 6.
        runtime: name and version of what ran it; None before schema 6.
        via: which runner: ``python``, ``native`` or ``app``.
        threads: that the runtime reports it uses, if it has such a query.
        processes: one entry per fresh process, in the order they ran.
        peak_rss: bytes, from a separate pass; None if it was not taken.
        base_rss: of that process before it loaded the model: the runtime and Python.
        golden_max_abs: largest difference of the runner's answer from the golden output.
        cpus: mask of the cores that the runner could use, read back from the kernel.
        resolved: whether the median's interval is as narrow as the plan's precision, which
            takes three processes or more; None for results of schema 1.
        operators: from a separate, profiled process, if there was one.
        notices: what makes these numbers less trustworthy, and what would help.
    """

    quantize: str
    artifact_sha256: Digest | None = None
    runtime: str | None = None
    device: DeviceRef
    via: Literal["python", "native", "app"]
    plan: Plan
    threads: BoundedCount | None = None
    processes: Many[Process] = Field(min_length=1)
    peak_rss: Bytes | None
    base_rss: Bytes | None = None
    golden_max_abs: float | None = Field(ge=0)
    cpus: str | None = None
    resolved: bool | None = None
    operators: Many[Operator] = ()
    context: Context
    notices: Many[Notice] = ()


class Recommendation(Record):
    """The fastest setting of a sweep, or one with fewer threads that is nearly as fast.

    Attributes:
        cpus: ``all``, or ``big`` for the cluster of cores with the highest clock.
    """

    threads: int = Field(ge=1, le=MAX_COUNT)
    cpus: str = "all"


class LatencyResult(Record):
    """The result of `kit bench`.

    Attributes:
        identity: None before schema 6, as in the other results.
        recommended: of a sweep, by name of the file.
    """

    schema_version: int = Field(default=SCHEMA_VERSION, ge=1, strict=True)
    kind: Literal["latency"] = "latency"
    kit_version: str
    created: datetime
    identity: Identity | None = None
    bundle: BundleRef
    runs: Many[Run]
    recommended: dict[str, Recommendation] = Field(default_factory=dict)
