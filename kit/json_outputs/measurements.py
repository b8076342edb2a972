"""JSON of what is measured: `bench`, `app bench`, `eval`, `predict` and `table`."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue, NonNegativeFloat, NonNegativeInt

from kit.json_outputs.base import JsonOutput
from kit.notice_values import Severity
from kit.results.accuracy import Metric, OutputRow
from kit.results.context import Context
from kit.results.latency import Recommendation


class NoticeOutput(JsonOutput):
    """A notice and its text; see `docs/notices.md`."""

    code: str
    severity: Severity
    values: dict[str, JsonValue]
    text: str


class LatencyOutput(JsonOutput):
    """One file on one device: samples in ns, times in ms, memory in 10^6 bytes."""

    bundle: str
    artifact: str
    format: str
    backend: str | None
    precision: str
    quantize: str
    artifact_sha256: str | None
    runtime: str | None
    measurement: str | None
    device: str
    device_kind: str
    serial: str | None
    via: str
    cpus: str | None
    resolved: bool | None
    threads: NonNegativeInt
    threads_obeyed: NonNegativeInt | None
    cores_used: NonNegativeFloat | None
    samples_ns: tuple[NonNegativeInt, ...]
    median_ms: NonNegativeFloat
    p90_ms: NonNegativeFloat
    p99_ms: NonNegativeFloat
    process_medians_ms: tuple[NonNegativeFloat, ...]
    ci95_ms: tuple[float, float] | None
    load_ms: NonNegativeFloat | None
    first_ms: NonNegativeFloat | None
    peak_rss_mb: float | None
    base_rss_mb: float | None
    stable: bool
    notices: tuple[NoticeOutput, ...]
    context: Context


class ComparisonOutput(JsonOutput):
    """Two files in pairs of processes; the ratio is the other's time by the baseline's."""

    baseline: tuple[str, str]
    other: tuple[str, str]
    ratio: float
    ci95: tuple[float, float] | None
    pairs: NonNegativeInt
    temperature_gap_c: float | None
    verdict: Literal["faster", "slower", "no difference", "not known"]
    margin: float


class BenchOutput(JsonOutput):
    """`kit bench` and `kit app bench`; `recommended` by device, bundle and file, of a sweep."""

    results: tuple[LatencyOutput, ...]
    comparisons: tuple[ComparisonOutput, ...]
    notices: tuple[NoticeOutput, ...]
    recommended: dict[str, dict[str, dict[str, Recommendation]]]


class AccuracyOutput(JsonOutput):
    """One file on one set of samples; shares are between 0 and 1."""

    format: str
    backend: str | None
    precision: str
    artifact_sha256: str | None
    runtime: str | None
    images: NonNegativeInt
    top1: float | None
    top5: float | None
    agreement: float | None
    sqnr_db: float | None
    outputs: tuple[OutputRow, ...]
    metrics: tuple[Metric, ...]
    images_per_second: NonNegativeFloat


class EvalOutput(JsonOutput):
    """`kit eval`; the first result is the float model's."""

    measurement: str | None
    results: tuple[AccuracyOutput, ...]
    notices: tuple[NoticeOutput, ...]


class AnsweredSample(JsonOutput):
    """The answers to one sample by file; what is in them depends on the task."""

    name: str
    answers: dict[str, dict[str, JsonValue]]


class PredictOutput(JsonOutput):
    """`kit predict`; what could not be read or run is by name, with the reason."""

    bundle: str
    bundle_sha256: str
    task: str
    device: str | None
    samples: tuple[AnsweredSample, ...]
    damaged: dict[str, str]
    left_out: dict[str, str]
    failed: dict[str, str]


class TableRowOutput(JsonOutput):
    """One file with what was measured of it; null is what was not."""

    label: str
    bundle: str
    bundle_hash: str
    model: str
    artifact: str
    format: str
    backend: str | None
    precision: str
    quantize: str
    executed: bool
    bytes: NonNegativeInt | None
    top1: float | None
    agreement: float | None
    sqnr_db: float | None
    images: NonNegativeInt | None
    pictures_sha256: str | None
    delegated: JsonValue
    front: bool
    median_ms: float | None
    ci95_ms: tuple[float, float] | None
    p90_ms: float | None
    load_ms: float | None
    first_ms: float | None
    measurement: str | None
    memory_bytes: int | None


class OtherSettingOutput(JsonOutput):
    """Rows that were measured in another setting than most."""

    setting: str
    device_kind: str
    virtual: bool
    rows: tuple[TableRowOutput, ...]


class TableOutput(JsonOutput):
    """`kit table`; `commands` measure what is missing."""

    rows: tuple[TableRowOutput, ...]
    setting: str | None
    other_settings: tuple[OtherSettingOutput, ...]
    commands: tuple[str, ...]
