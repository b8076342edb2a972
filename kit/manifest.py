"""The content of `bundle.json`: what a bundle says about itself.

Schema history:

    1  first version
    2  the float model is data (`reference.safetensors`); `Golden.graphs`; `Manifest.failed`
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from kit.errors import BundleError
from kit.recipe import Recipe

SCHEMA_VERSION = 2


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileEntry(_Record):
    """Size in bytes and SHA-256 of one file of the bundle."""

    size: int
    sha256: str


class Tensor(_Record):
    """Shape and type of the model's input or output; the first dimension is the batch."""

    name: str
    shape: tuple[int, ...]
    dtype: Literal["float32"] = "float32"


class Preprocessing(_Record):
    """From a decoded picture to the input tensor: resize, centre crop, scale, normalize.

    Attributes:
        resize: length of the shorter side after the antialiased bilinear resize, in pixels.
        crop: side of the centre crop, in pixels.
        mean: per channel (RGB), subtracted after scaling to 0..1.
        std: per channel, divided by afterwards.
    """

    resize: int
    crop: int
    interpolation: Literal["bilinear-antialias"] = "bilinear-antialias"
    color: Literal["RGB"] = "RGB"
    layout: Literal["NCHW"] = "NCHW"
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Comparison(_Record):
    """How near one set of logits is to another, over the golden inputs.

    Attributes:
        against: what the answers were compared with.
        images: number of pictures.
        max_abs: largest absolute difference of a logit.
        sqnr_db: signal to quantization noise ratio in dB; None when the two are equal.
        agreement: share of pictures with the same top-1 category, 0..1.
        passed: the thresholds of the format hold.
        thresholds: the limits that were asked for, by name.
    """

    against: Literal["quantized graph", "float reference"]
    images: int
    max_abs: float
    sqnr_db: float | None
    agreement: float
    passed: bool
    thresholds: dict[str, float]


class Runtime(_Record):
    """What runs the file: the runtime's name, and the version that verified it."""

    name: str
    version: str


class Artifact(_Record):
    """One model file.

    Attributes:
        format: member of `kit.formats` that wrote it.
        file: path inside the bundle.
        quantize: the method, or ``none``.
        format_version: of the container (Lite bytecode, ExecuTorch program, ONNX opset).
        operators: how often each operator occurs in the file.
        delegates: per backend, the number of operators that it took over.
        not_delegated: operators that the runtime's own kernels run, where the format delegates.
        computed_in_float: operators of a quantized model that compute in float, wherever
            they run.
        parity: comparisons made at build time.
    """

    format: str
    file: str
    quantize: str
    format_version: str
    runtime: Runtime
    operators: dict[str, int]
    delegates: dict[str, int] = Field(default_factory=dict)
    not_delegated: dict[str, int] = Field(default_factory=dict)
    computed_in_float: dict[str, int] = Field(default_factory=dict)
    parity: tuple[Comparison, ...] = ()


class Source(_Record):
    """Where the weights came from and what they are."""

    source: str
    sha256: str


class Calibration(_Record):
    """The pictures that set the activation ranges.

    Attributes:
        source: where they came from.
        images: how many.
        sha256: of the set.
        pictures: SHA-256 of each picture file, so that an evaluation can leave it out.
        worst_layer: the layer whose range covers natural pictures worst.
        outside: share of that layer's values, on the golden pictures, that are clipped.
    """

    source: str
    images: int
    sha256: str
    pictures: tuple[str, ...] = ()
    worst_layer: str
    outside: float


class Range(_Record):
    """The range of one activation, and how to recognize the tensor in any graph.

    Attributes:
        name: of the layer or operation that makes the tensor.
        low: value of the lowest level.
        high: value of the highest level.
        factor: by which the observed range was scaled.
        seen: least, largest and mean value on the calibration pictures.
    """

    name: str
    low: float
    high: float
    factor: float
    seen: tuple[float, float, float]


class Training(_Record):
    """What quantization-aware training did.

    Attributes:
        source: the pictures.
        pictures: SHA-256 of each picture file, so that an evaluation can leave it out.
        objective: ``distillation`` from the float model, or ``cross-entropy`` with labels.
        steps: optimizer steps that were made.
        batch: pictures per step, over all processes.
        learning_rate: of Adam.
        processes: that trained together.
        sqnr_db: SQNR of the simulated int8 model against the float one, before and after.
        kept: the trained weights are in the bundle; False if the start was better.
        note: why training ended, if not after its steps.
    """

    source: str
    pictures: tuple[str, ...] = ()
    objective: Literal["distillation", "cross-entropy"]
    steps: int
    batch: int
    learning_rate: float
    processes: int = 1
    sqnr_db: tuple[float, float]
    kept: bool
    note: str = ""


class GateRow(_Record):
    """One format's accuracy: drop in points of top-1, agreement in percent, SQNR in dB."""

    format: str
    drop: float | None
    agreement: float
    sqnr_db: float | None


class GateRecord(_Record):
    """The accuracy gate that the bundle passed.

    Attributes:
        pictures: the set.
        pictures_sha256: of the pictures that were measured.
        images: how many.
        max_drop: limit in points of top-1, or None.
        min_agreement: limit in percent, or None.
        rows: what every format reached.
    """

    pictures: str
    pictures_sha256: str
    images: int
    max_drop: float | None
    min_agreement: float | None
    rows: tuple[GateRow, ...]


class Golden(_Record):
    """Golden input and the answers to it, as paths in the bundle.

    Attributes:
        input: float32 [N, 3, H, W].
        images: N.
        source: of the pictures.
        outputs: by format (and ``reference``): what its runtime answered here, [N, classes].
        graphs: by format: what the graph that was lowered answers; empty in schema 1.
    """

    input: str
    images: int
    source: str
    outputs: dict[str, str]
    graphs: dict[str, str] = Field(default_factory=dict)


class FailedFormat(_Record):
    """A format that was asked for and is not in the bundle.

    Attributes:
        format: that failed.
        stage: where: it could not be made, it computes something else, or it loses too much.
        reason: one sentence.
        hint: what to do.
    """

    format: str
    stage: Literal["lowering", "verification", "gate"]
    reason: str
    hint: str


class Manifest(_Record):
    """The content of `bundle.json`."""

    schema_version: int = SCHEMA_VERSION
    kit_version: str
    created: datetime
    recipe: Recipe
    recipe_hash: str
    parameters: int
    input: Tensor
    output: Tensor
    preprocessing: Preprocessing
    labels: str | None
    weights: Source
    calibration: Calibration | None
    corrections: tuple[str, ...]
    kept_float: tuple[str, ...] = ()
    ranges: tuple[Range, ...] = ()
    training: Training | None = None
    gate: GateRecord | None = None
    qconfig: dict[str, dict[str, str]]
    golden: Golden
    artifacts: tuple[Artifact, ...]
    failed: tuple[FailedFormat, ...] = ()
    warnings: tuple[str, ...]
    tools: dict[str, str]
    files: dict[str, FileEntry]

    def artifact(self, name: str) -> Artifact:
        """Return the artifact of a format.

        Raises:
            BundleError: the bundle has no file of that format, perhaps because it failed.
        """
        for artifact in self.artifacts:
            if artifact.format == name:
                return artifact
        have = ", ".join(a.format for a in self.artifacts)
        failure = next((f for f in self.failed if f.format == name), None)
        if failure is not None:
            raise BundleError(
                f"the bundle has no {name} file: its {failure.stage} failed ({failure.reason})",
                f"it has: {have}; {failure.hint}",
            )
        raise BundleError(f"the bundle has no {name} file", f"it has: {have}")
