"""What was measured and where: bundle, device, host, state of the machine."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from kit.artifact_key import KeyedRecord
from kit.documents import Record
from kit.recipe import format_sides
from kit.results.schema import MAX_COUNT, MAX_SECONDS, BoundedCount, Bytes, Cosine, Fraction, Many

_Mhz = Annotated[float, Field(ge=0, le=10.0**6)]
_Load = Annotated[float, Field(ge=0, le=10.0**9)]


class ParityRef(Record):
    """One comparison that was made at build time; see `kit.manifest.artifacts.Comparison`."""

    against: str
    output: str = ""
    images: BoundedCount
    max_abs: float = Field(ge=0)
    sqnr_db: float | None
    agreement: Fraction | None = None
    cosine: Cosine | None = None


class ArtifactRef(KeyedRecord):
    """One model file of the bundle: its key, method, size in bytes, and parity.

    Attributes:
        executed: whether the build ran it; see `kit.manifest.artifacts.Artifact`. True before
            schema 9.
    """

    quantize: str
    size: Bytes
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
    memory_total: Bytes
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
