"""Results of measurements: every raw sample and the context it was taken in.

Statistics are computed when a result is read (`kit.results.statistics`), so that a better
statistic never needs a new measurement. Schema history:

    1  first version
    2  devices over adb: `Condition`, `Operator`; fields of `Plan` and `Run` about cores, the
       wait for a cool device, and the precision of the median (`Plan.most_repeats`,
       `Plan.precision`, `Run.resolved`); `LatencyResult.recommended`
    3  `Run.resolved` is over processes, before it pooled all samples; `Plan.memory`, which
       was false for plans called ``quick`` only; numbers are finite
    4  `Plan.most_pairs`: processes are added until bundles are compared to the precision
    5  `ProcessorsResult`; `BundleRef.failed`
    6  `Identity`: id of the measurement, fingerprint of the device, host, source revision;
       each row has the digest of its file (`artifact_sha256`) and its runtime;
       `AccuracyResult.threads`; `Run.notices` instead of `Run.warnings`, which were sentences;
       `AccuracyResult.notices`; `Recommendation` instead of options of the command line
    7  `OutputRow`; `AccuracyResult.task`; `AccuracyRow.agreement` and `ParityRef.agreement` are
       None where a task has no classes; `ParityRef.output` and `ParityRef.cosine`
    8  runs, rows and artifacts have the backend and the precision of their file;
       `BundleRef.failed` and `LatencyResult.recommended` are keyed by its name;
       `Plan.max_repeats` and `Plan.max_pairs` instead of `most_repeats` and `most_pairs`
    9  `AccuracyRow.metrics`; `ArtifactRef.executed`
    10  `BundleRef.input_width`; `AccuracyResult.batch`; more precisions

Results of all older schemas stay readable: fields they do not have are None or empty, and
renamed or changed fields are translated (`kit.results.store`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, TypeVar

from pydantic import FailFast, Field, field_validator

from kit.artifact_key import KeyedRecord
from kit.documents import Digest, Record
from kit.notices import Notice
from kit.recipe import format_sides

SCHEMA_VERSION = 10

# Larger numbers are refused. Each fits into 64 bits, also when many are added up.
MAX_NS = 10**15  # 11 days
MAX_BYTES = 2**50
MAX_COUNT = 10**9
MAX_SECONDS = 10.0**9

T = TypeVar("T")
# Only the first wrong item of a list is reported: a million errors would take gigabytes.
Many = Annotated[tuple[T, ...], FailFast()]

_Ns = Annotated[int, Field(ge=0, le=MAX_NS)]
_Sample = Annotated[int, Field(gt=0, le=MAX_NS)]
_Bytes = Annotated[int, Field(ge=0, le=MAX_BYTES)]
_Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
_Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS)]
_Cosine = Annotated[float, Field(ge=-1.001, le=1.001)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Mhz = Annotated[float, Field(ge=0, le=10.0**6)]
_Load = Annotated[float, Field(ge=0, le=10.0**9)]


class ParityRef(Record):
    """One comparison that was made at build time; see `kit.manifest.Comparison`."""

    against: str
    output: str = ""
    images: _Count
    max_abs: float = Field(ge=0)
    sqnr_db: float | None
    agreement: _Share | None = None
    cosine: _Cosine | None = None


class ArtifactRef(KeyedRecord):
    """One model file of the bundle: its key, method, size in bytes, and parity.

    Attributes:
        executed: whether the build ran it; see `kit.manifest.Artifact`. True before schema 9.
    """

    quantize: str
    size: _Bytes
    sha256: str
    runtime: str
    parity: Many[ParityRef] = ()
    executed: bool = True


class BundleRef(Record):
    """The bundle that was measured.

    Attributes:
        hash: of its `bundle.json`.
        resolution: height of the input, in pixels.
        input_width: its width; None for a square.
        failed: names of files that were requested and could not be built, with the reason.
    """

    name: str
    hash: str
    model: str
    quantize: str
    granularity: str
    resolution: int = Field(gt=0, le=MAX_COUNT)
    input_width: int | None = Field(default=None, gt=0, le=MAX_COUNT)
    width: float = Field(default=1.0, gt=0)
    artifacts: Many[ArtifactRef]
    failed: dict[str, str] = Field(default_factory=dict)

    @property
    def size(self) -> str:
        """Size of the input in pixels, for people."""
        return format_sides(self.resolution, self.input_width or self.resolution)


class DeviceRef(Record):
    """The device that was measured. Virtual and emulated ones are never ranked with phones."""

    kind: Literal["local", "phone", "emulator", "virtual"]
    name: str
    serial: str | None = None


class Fingerprint(Record):
    """Identifies the model of a device and its installed system.

    Attributes:
        model: maker and model; of a computer, the name its firmware reports.
        soc: name of the chip or processor.
        build: of the system: Android's build fingerprint, or distribution and kernel.
        abi: preferred one, as Android names it.
        cores: logical cores of the kernel, online or not.
    """

    model: str | None
    soc: str | None
    build: str | None
    abi: str | None
    cores: int | None = Field(gt=0, le=MAX_COUNT)


class HostRef(Record):
    """The machine on which kit itself ran."""

    name: str
    cpu: str
    machine: str
    os: str


class SourceRef(Record):
    """The commit that was checked out in the working directory of the measurement.

    Attributes:
        revision: SHA-1 or SHA-256 of git's HEAD.
        dirty: whether tracked files differ from it; None if git did not answer in time.
    """

    revision: str = Field(pattern="^(?:[0-9a-f]{40}|[0-9a-f]{64})$")
    dirty: bool | None


class Identity(Record):
    """Which measurement a result is of.

    Attributes:
        measurement: random id; results that share it were measured by one run of kit, so that
            their processes were interleaved (see `kit.results.rounds.is_paired`).
        device: that was measured.
        source: None outside of git.
    """

    measurement: str = Field(pattern="^[0-9a-f]{32}$")
    device: Fingerprint
    host: HostRef
    source: SourceRef | None = None


class Context(Record):
    """The state of the machine around a measurement.

    Attributes:
        cpu: model name.
        cores: logical cores that the process may use.
        governor: cpufreq governor of the first core, None when the system has none.
        load_before: 1-minute load average when the measurement began.
        load_after: the same when it ended.
        mhz: clock of each core in MHz when the measurement began, where it can be read.
        memory_total: bytes.
        others: cores that other programs kept busy on average in between; None if unknown.
        versions: of the runtimes, Python and kit.
        environment: variables that kit set for the runner.
        settings: of the device that kit changed for the measurement, with the value it set.
    """

    cpu: str
    cores: int = Field(gt=0, le=MAX_COUNT)
    machine: str
    os: str
    governor: str | None
    load_before: _Load
    load_after: _Load
    mhz: Many[_Mhz] = ()
    memory_total: _Bytes
    others: _Load | None = None
    versions: dict[str, str]
    environment: dict[str, str]
    settings: dict[str, str] = Field(default_factory=dict)


class Condition(Record):
    """State of a device at one moment; None is what it does not report.

    Attributes:
        seconds: since the measurement began, by the device's uptime.
        temperature_c: of the battery, in degrees Celsius.
        thermal_status: ``none``, ``light``, ``moderate``, ``severe`` …
        battery: percent.
        mhz: clock of each core that reports it, in the order of their numbers.
    """

    seconds: float = Field(ge=-MAX_SECONDS, le=MAX_SECONDS)
    temperature_c: float | None = Field(default=None, ge=-273.15, le=1000)
    thermal_status: str | None = None
    battery: int | None = Field(default=None, ge=0, le=100)
    mhz: Many[_Mhz] = ()


class Operator(Record):
    """Time of one operator in a profiled process, summed over its calls."""

    name: str
    type: str
    calls: int = Field(gt=0, le=MAX_COUNT)
    total_ns: _Ns


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

    load_ns: _Ns
    first_ns: _Ns
    samples_ns: Many[_Sample] = Field(min_length=1)
    cpu_ns: _Ns | None = None
    waited: _Seconds = 0.0
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
    threads: _Count | None = None
    processes: Many[Process] = Field(min_length=1)
    peak_rss: _Bytes | None
    base_rss: _Bytes | None = None
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


class OutputRow(Record):
    """One output of one file against the float model's, over all samples.

    Attributes:
        sqnr_db: in dB; None when they are equal.
        max_abs: largest absolute difference of a value.
        cosine: mean cosine of the angle between two answers.
    """

    name: str
    sqnr_db: float | None
    max_abs: float = Field(ge=0)
    cosine: _Cosine


class Metric(Record):
    """One measure of a task's own, such as the mean IoU of a segmentation.

    Attributes:
        name: as tables show it, unique in its row.
        value: in the unit.
        unit: ``%`` or ``dB``, for example; empty for a plain number.
    """

    name: str = Field(min_length=1, max_length=100)
    value: float
    unit: str = Field("", max_length=20)

    @property
    def heading(self) -> str:
        """Return the heading of its column."""
        return f"{self.name}, {self.unit}" if self.unit else self.name


class AccuracyRow(KeyedRecord):
    """One file on one set of samples; shares are between 0 and 1.

    Attributes:
        format: of the file, or ``reference`` for the float PyTorch model.
        artifact_sha256: of the model file; None before schema 6, as is `runtime`.
        runtime: name and version.
        images: number of samples.
        top1: share of samples whose label is the first answer; None without labels.
        top5: the same for the first five answers.
        agreement: share of samples with the reference's first answer; None if the task has no
            classes.
        sqnr_db: of the answers against the reference's, in dB; None when they are equal; of
            several outputs the lowest.
        outputs: where the task measures each.
        metrics: of the task's own; the same in every row of a result.
    """

    quantize: str
    artifact_sha256: Digest | None = None
    runtime: str | None = None
    images: int = Field(gt=0, le=MAX_COUNT)
    top1: _Share | None
    top5: _Share | None
    agreement: _Share | None
    sqnr_db: float | None
    outputs: Many[OutputRow] = ()
    metrics: Many[Metric] = ()
    images_per_second: float = Field(ge=0)

    @field_validator("metrics")
    @classmethod
    def _have_own_names(cls, metrics: tuple[Metric, ...]) -> tuple[Metric, ...]:
        names = [metric.heading for metric in metrics]
        if len(set(names)) < len(names):
            raise ValueError("two metrics have one name")
        return metrics


class AccuracyResult(Record):
    """The result of `kit eval`.

    Attributes:
        task: of the bundle.
        pictures: name of the folder or zip of samples.
        pictures_sha256: of the contents and labels of the samples that were evaluated.
        left_out: samples of the set that calibrated the bundle and so were not evaluated.
        batch: samples in each inference of a file; of the float model it is one.
        threads: of each runtime; None before schema 6.
        notices: where the labels come from, and what is doubtful about them.
    """

    schema_version: int = Field(default=SCHEMA_VERSION, ge=1, strict=True)
    kind: Literal["accuracy"] = "accuracy"
    kit_version: str
    created: datetime
    identity: Identity | None = None
    bundle: BundleRef
    task: str = "image-classification"
    pictures: str
    pictures_sha256: str
    left_out: _Count = 0
    batch: int = Field(default=1, gt=0, le=MAX_COUNT)
    threads: int | None = Field(default=None, gt=0, le=MAX_COUNT)
    notices: Many[Notice] = ()
    rows: Many[AccuracyRow]


class ProcessorRef(Record):
    """A processor on which answers were computed.

    Attributes:
        name: ``host`` for this machine's own.
        abi: of the programs it runs, as Android names it.
        about: its features that matter for int8 arithmetic.
        emulator: name and version of what emulated it; None for this machine's own.
    """

    name: str
    abi: str
    about: str
    emulator: str | None


class ProcessorRow(KeyedRecord):
    """The answers of one file to the golden inputs on one processor.

    Attributes:
        format: of the file.
        quantize: its quantization method.
        artifact_sha256: of the model file; None before schema 6.
        processor: name in `ProcessorsResult.processors`.
        runtime: name and version.
        images: number of golden inputs.
        parity: against the quantized graph, where the bundle has its answers, and the float model.
        golden_max_abs: largest difference from the answers that the bundle was built with;
            0 if they are equal bit for bit.
        answers_sha256: of the answers' bytes; equal ones are equal bit for bit.
        passed: whether the limits of the build hold here.
        error: the runtime's message if it gave no answers, else empty.
    """

    quantize: str
    artifact_sha256: Digest | None = None
    processor: str
    runtime: str
    images: _Count
    parity: tuple[ParityRef, ...] = ()
    golden_max_abs: float | None = Field(default=None, ge=0)
    answers_sha256: str = ""
    passed: bool
    error: str = ""


class ProcessorsResult(Record):
    """The result of `kit verify`."""

    schema_version: int = Field(default=SCHEMA_VERSION, ge=1, strict=True)
    kind: Literal["processors"] = "processors"
    kit_version: str
    created: datetime
    identity: Identity | None = None
    bundle: BundleRef
    processors: Many[ProcessorRef]
    rows: Many[ProcessorRow]


AnyResult = LatencyResult | AccuracyResult | ProcessorsResult
Result = Annotated[AnyResult, Field(discriminator="kind")]
KINDS = ("latency", "accuracy", "processors")
