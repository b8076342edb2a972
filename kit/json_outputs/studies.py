"""JSON about models and their files: `analyze`, `app build`, `build`, `cost`, `show` and `run`."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt

from kit.formats.structure import GraphEntry
from kit.json_outputs.base import JsonOutput


class CostKindOutput(JsonOutput):
    """Layers of one type; shares are between 0 and 1."""

    type: str
    layers: NonNegativeInt
    multiply_adds: NonNegativeInt
    multiply_adds_share: NonNegativeFloat
    parameters: NonNegativeInt
    parameters_share: NonNegativeFloat


class CostLayerOutput(JsonOutput):
    """One layer, and the shape of its output."""

    name: str
    type: str
    output: tuple[NonNegativeInt, ...]
    multiply_adds: NonNegativeInt
    parameters: NonNegativeInt


class CostTotals(JsonOutput):
    """Of a network; `stored_parameters` is the size of `model.parameters()`, null of a twin."""

    multiply_adds: NonNegativeInt
    parameters: NonNegativeInt
    stored_parameters: NonNegativeInt | None
    types: tuple[CostKindOutput, ...]
    layers: tuple[CostLayerOutput, ...]


class CostOutput(CostTotals):
    """`kit cost`; `full` is the twin with full instead of separable convolutions.

    `input_width` is there where the input is not square.
    """

    model: str
    resolution: int
    input_width: int | None = None
    width: float
    full: CostTotals


class ScoreOutput(JsonOutput):
    """A model against the float model: None is equal, or a drop without labels."""

    images: NonNegativeInt
    sqnr_db: float | None
    agreement: float
    drop: float | None


class SensitivityOutput(JsonOutput):
    """One place of a model, alone in int8."""

    name: str
    kind: str
    kept_float: bool
    sqnr_db: float | None
    range: tuple[float, float] | None
    saturated: float
    multiply_adds_share: float
    gain_db: float | None
    added_latency: float | None


class AttemptOutput(ScoreOutput):
    """A recipe that a repair tried, and its estimated latency, as a share of int8's."""

    corrections: str
    observer: str
    keep_float: tuple[str, ...]
    added_latency: float


class RepairOutput(JsonOutput):
    """`kit analyze --repair`: whether the target is met, and the command that builds it."""

    target: str
    met: bool
    command: str
    best: AttemptOutput
    tried: tuple[AttemptOutput, ...]


class PictureSetOutput(JsonOutput):
    """A set of pictures, and how many of it were used."""

    source: str
    images: NonNegativeInt


class AnalyzeOutput(JsonOutput):
    """`kit analyze`; `input_width` is null where the input is square."""

    model: str
    resolution: int
    input_width: int | None
    width: float
    granularity: str
    corrections: str
    observer: str
    weights: str
    calibration: PictureSetOutput
    pictures: PictureSetOutput
    speed_up: float
    int8: ScoreOutput
    corrected_float: ScoreOutput
    layers: tuple[SensitivityOutput, ...]
    repair: RepairOutput | None


class OperatorTimeOutput(JsonOutput):
    """Mean microseconds of an operator's calls, and its share of the time of all."""

    name: str
    type: str
    calls: NonNegativeInt
    us: float
    share: float
    node: tuple[str, int] | None


class FileTimesOutput(JsonOutput):
    """Times of a file's operators, of a result of `kit bench --profile`."""

    operators: tuple[OperatorTimeOutput, ...]
    device: str
    virtual: bool
    via: str
    threads: NonNegativeInt
    created: datetime


class ShownFileOutput(JsonOutput):
    """The structure of a model file; `code` of formats that store a program as text."""

    metadata: dict[str, str]
    graphs: tuple[GraphEntry, ...]
    code: str
    times: FileTimesOutput | None


class ShowOutput(JsonOutput):
    """`kit show`: by the name of each file; null of formats that kit cannot look into."""

    files: dict[str, ShownFileOutput | None]


class RuntimeOutput(JsonOutput):
    """A runtime in an app."""

    name: str
    version: str


class PackedBundleOutput(JsonOutput):
    """A bundle in an app, and its files there."""

    name: str
    hash: str
    artifacts: tuple[str, ...]


class ApkSizeOutput(JsonOutput):
    """The APK itself, in bytes."""

    size: NonNegativeInt
    sha256: str


class ApkMemberOutput(JsonOutput):
    """A file in an APK; `page` is the largest page of memory that can load a library."""

    size: NonNegativeInt
    sha256: str
    stored: bool
    page: NonNegativeInt | None = None


class AppBuildOutput(JsonOutput):
    """`kit app build`, and its `build.json`; `artifacts` are the digests of fetched files."""

    kit: str
    contract: NonNegativeInt
    package: str
    version_code: NonNegativeInt
    minimum_sdk: NonNegativeInt
    target_sdk: NonNegativeInt
    debug: bool
    abis: tuple[str, ...]
    runtimes: dict[str, RuntimeOutput]
    bundles: tuple[PackedBundleOutput, ...]
    notes: tuple[str, ...]
    tools: dict[str, str | int]
    artifacts: dict[str, str]
    certificate_sha256: str
    apk: ApkSizeOutput
    fit_for_16k_pages: bool
    not_fit_for_16k_pages: tuple[str, ...]
    files: dict[str, ApkMemberOutput]


class ExplainedPart(JsonOutput):
    """What a build would do in one respect, such as calibration."""

    heading: str
    lines: tuple[str, ...]


class ExplainOutput(JsonOutput):
    """`kit build --explain`."""

    explanation: tuple[ExplainedPart, ...]


class RunStepOutput(JsonOutput):
    """A step of a run, with the command that does it."""

    name: str
    command: str
    state: Literal["done", "kept", "left out"]
    seconds: NonNegativeFloat


class RunOutput(JsonOutput):
    """`kit run`: paths of what it made."""

    bundle: str
    results: str
    report: str
    steps: tuple[RunStepOutput, ...] = Field(min_length=1)
