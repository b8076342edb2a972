"""Schema of `bundle.json`, the manifest of a bundle.

Schema history:

    1  first version
    2  the float model is data (`reference.safetensors`); `Golden.graphs`; `Manifest.failed`
    3  `Manifest.signature` instead of ``input`` and ``output``; `Manifest.task`; `Golden` has
       one file per tensor; `Comparison.output` and `Comparison.cosine`; `Manifest.encodings`,
       `Recipe.encodings`; `Range.seen` is no longer written
    4  artifacts are keyed by format, backend and precision: `Artifact`, `GateRow` and
       `FailedArtifact` have all three; golden answers and qconfigs are keyed by the key's name;
       `Manifest.notices` instead of ``warnings``, which were sentences
    5  `Artifact.executed`
    6  `Artifact.file` may be a folder, whose files are in `Manifest.files`;
       `Manifest.tokenization`; `Recipe.tokenizer`, `Recipe.tokens`; `Manifest.scores`;
       `Preprocessing.color` BGR and grey, `Preprocessing.layout` NHWC; `Recipe.color`,
       `Recipe.pixels`, `Recipe.layout`
    7  `Preprocessing.fit`, `Preprocessing.resize_to` (then ``resize`` is null),
       `Preprocessing.crop_width`, other `Preprocessing.interpolation`; `Recipe.input_width`,
       `Recipe.preprocess`, `Recipe.dynamic`, `Recipe.state`; `Manifest.detection`,
       `Manifest.state`; more precisions

Manifests of all older schemas can be read: `kit.manifest_history` translates changed fields.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from kit.artifact_key import ArtifactKey, KeyedRecord
from kit.detection import Detection
from kit.documents import (
    MAX_CLASSES,
    Count,
    Deviation,
    Digest,
    NonNegative,
    Percent,
    Positive,
    Record,
    SchemaVersion,
    Share,
    Side,
    Size,
    Text,
)
from kit.errors import BundleError
from kit.manifest_history import translate
from kit.notices import Notice
from kit.recipe import CHANNELS, Color, Layout, Recipe
from kit.registry import CLASSIFICATION, DETECTION
from kit.signature import MAX_TENSORS, Feedback, Signature

SCHEMA_VERSION = 7

Fit = Literal["shorter-side", "cover", "stretch", "letterbox"]
Interpolation = Literal["bilinear-antialias", "bicubic-antialias", "nearest"]
Files = Annotated[tuple[Text, ...], Field(min_length=1, max_length=MAX_TENSORS)]
Number = Annotated[float, Field(allow_inf_nan=True)]  # not finite if a comparison failed


class FileEntry(Record):
    """Size in bytes and SHA-256 of one file of the bundle."""

    size: Size
    sha256: Digest


class Preprocessing(Record):
    """Steps from a decoded picture to the input tensor: resize, crop or pad, scale, normalize.

    Attributes:
        resize: length of the shorter side after the resize, in pixels; None for another `fit`.
        crop: height of the centre crop, in pixels.
        crop_width: its width; None for a square.
        fit: ``shorter-side``: the shorter side gets the length `resize`, the longer one is
            truncated, as by torchvision's `Resize` of one number; ``cover``: the smallest
            size of the picture's shape that covers `resize_to`, rounded, as by timm's
            `ResizeKeepRatio`; ``stretch``: exactly `resize_to`; ``letterbox``: the largest
            size of the picture's shape inside of `resize_to`, with grey of level 114 around
            it, as by YOLO.
        resize_to: height and width, in pixels; None for the fit ``shorter-side``.
        interpolation: as Pillow resizes; bilinear and bicubic antialias.
        color: channels in their order; grey is ITU-R 601's luma, made before the resize.
        layout: of a batch: channels first or last.
        mean: per channel, subtracted after scaling to 0..1.
        std: per channel, divided by afterwards.
    """

    resize: Side | None
    crop: Side
    crop_width: Side | None = None
    fit: Fit = "shorter-side"
    resize_to: tuple[Side, Side] | None = None
    interpolation: Interpolation = "bilinear-antialias"
    color: Color = "RGB"
    layout: Layout = "NCHW"
    mean: Annotated[tuple[Share, ...], Field(min_length=1, max_length=3)]
    std: Annotated[tuple[Deviation, ...], Field(min_length=1, max_length=3)]

    @model_validator(mode="after")
    def _a_number_for_each_channel(self) -> Preprocessing:
        if not len(self.mean) == len(self.std) == CHANNELS[self.color]:
            raise ValueError(f"mean and std are not of {CHANNELS[self.color]} channels")
        return self

    @model_validator(mode="after")
    def _one_size_to_resize_to(self) -> Preprocessing:
        by_side = self.fit == "shorter-side"
        if by_side != (self.resize is not None) or by_side != (self.resize_to is None):
            raise ValueError(
                f"the fit {self.fit} needs {'resize' if by_side else 'resize_to'} alone"
            )
        return self

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of a prepared picture, in pixels."""
        return self.crop, self.crop if self.crop_width is None else self.crop_width

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a prepared picture, [channels, H, W] or [H, W, channels]."""
        channels = CHANNELS[self.color]
        return (channels, *self.sides) if self.layout == "NCHW" else (*self.sides, channels)


class Tokenization(Record):
    """Steps from a text to the input tensors: tokenize, cut or pad to a length.

    Inputs are named as in Hugging Face's models: ``input_ids``, ``attention_mask`` (1 for a token,
    0 for padding) and ``token_type_ids``.

    Attributes:
        file: in the bundle, of the package tokenizers.
        tokens: length of every text, special tokens included.
        pad_id: token of the padding.
        pad_type: type of the padding in ``token_type_ids``.
        pad_side: where the padding is.
    """

    file: Literal["tokenizer.json"] = "tokenizer.json"
    tokens: Positive
    pad_id: Count = 0
    pad_type: Count = 0
    pad_side: Literal["left", "right"] = "right"


class Comparison(Record):
    """Difference between two sets of answers to the golden inputs.

    Attributes:
        against: the reference of the comparison.
        output: name of the output; empty for a model with one.
        images: number of golden inputs.
        max_abs: largest absolute difference of a value.
        sqnr_db: signal to quantization noise ratio in dB; None when the two are equal.
        agreement: share of inputs with the same top-1 category, 0..1; None if the task has
            no categories.
        cosine: mean cosine of the angle between two answers; None if it is not measured.
        passed: no threshold is violated.
        thresholds: the limits that were checked, by name.
    """

    against: Literal["quantized graph", "float reference"]
    output: Text = ""
    images: Count
    max_abs: Number
    sqnr_db: Number | None
    agreement: Share | None = None
    cosine: Annotated[float, Field(ge=-1.001, le=1.001)] | None = None
    passed: bool
    thresholds: dict[Text, float]

    @property
    def finite(self) -> bool:
        """Whether all answers of both sides are finite."""
        return 0 <= self.max_abs < math.inf and math.isfinite(self.sqnr_db or 0.0)


class Runtime(Record):
    """Name of a file's runtime, and the version that verified the file."""

    name: Text
    version: Text


class Artifact(KeyedRecord):
    """One model file.

    Attributes:
        format: member of `kit.formats` that wrote it.
        backend: see `kit.artifact_key.ArtifactKey`, as for `precision`.
        file: path inside the bundle; of a folder for a format whose models are folders.
        quantize: the method, or ``none``.
        format_version: of the container (Lite bytecode, ExecuTorch program, ONNX opset).
        operators: number of occurrences of each operator in the file.
        delegates: per backend, the number of operators that are delegated to it.
        not_delegated: operators that the runtime's own kernels run, if the format delegates.
        computed_in_float: operators of a quantized model that compute in float, delegated or not.
        parity: comparisons made at build time.
        executed: whether the build ran the file. If not, no runtime here has its backend; its
            golden answers are those of the graph that it was lowered from.
    """

    file: Text
    quantize: Text
    format_version: Text
    runtime: Runtime
    operators: dict[Text, Count]
    delegates: dict[Text, Count] = Field(default_factory=dict)
    not_delegated: dict[Text, Count] = Field(default_factory=dict)
    computed_in_float: dict[Text, Count] = Field(default_factory=dict)
    parity: tuple[Comparison, ...] = ()
    executed: bool = True

    @field_validator("parity")
    @classmethod
    def _are_finite(cls, parity: tuple[Comparison, ...]) -> tuple[Comparison, ...]:
        for comparison in parity:
            if not comparison.finite:
                raise ValueError(f"it is not a finite number, against the {comparison.against}")
        return parity


class Source(Record):
    """The source of the weights, and their digest."""

    source: Text
    sha256: Text


class Calibration(Record):
    """The samples that set the activation ranges.

    Attributes:
        source: of the samples, for messages.
        images: number of samples.
        sha256: of the set.
        pictures: SHA-256 of each of the user's samples, so that evaluations can leave them out.
        worst_layer: the layer with the largest share of clipped values on the golden inputs.
        outside: that share, 0..1.
    """

    source: Text
    images: Count
    sha256: Text
    pictures: tuple[Digest, ...] = ()
    worst_layer: Text
    outside: Share


class Range(Record):
    """The range of one activation, chosen by search.

    Attributes:
        name: of the layer or operation that outputs the tensor.
        low: value of the lowest level.
        high: value of the highest level.
        factor: ratio to the observed range.
        seen: minimum, maximum and mean value on two pictures; in schemas 1 and 2 only.
    """

    name: Text
    low: float
    high: float
    factor: NonNegative
    seen: tuple[float, float, float] | None = None


class Training(Record):
    """Record of quantization-aware training.

    Attributes:
        source: of the pictures.
        pictures: SHA-256 of each picture file, so that evaluations can leave them out.
        objective: ``distillation`` from the float model, or ``cross-entropy`` with labels.
        steps: number of optimizer steps.
        batch: pictures per step, over all processes.
        learning_rate: of Adam.
        processes: number of processes that trained together.
        sqnr_db: SQNR of the simulated int8 model against the float model in dB, before and after.
        kept: the trained weights are in the bundle; False if the initial ones were better.
        note: reason why training ended before its last step; else empty.
    """

    source: Text
    pictures: tuple[Digest, ...] = ()
    objective: Literal["distillation", "cross-entropy"]
    steps: Count
    batch: Positive
    learning_rate: NonNegative
    processes: Positive = 1
    sqnr_db: tuple[float, float]
    kept: bool
    note: Text = ""


class GateRow(KeyedRecord):
    """One file's accuracy: drop in points of top-1 or mAP, agreement in percent, SQNR in dB."""

    drop: float | None
    agreement: Percent
    sqnr_db: float | None


class GateRecord(Record):
    """The accuracy gate that the bundle passed.

    Attributes:
        pictures: name of the evaluation set.
        pictures_sha256: of the samples that were evaluated.
        images: number of samples.
        max_drop: limit in points of top-1, or of a detector's mAP, or None.
        min_agreement: limit in percent, or None.
        rows: scores of every file.
    """

    pictures: Text
    pictures_sha256: Digest
    images: Count
    max_drop: Percent | None
    min_agreement: Percent | None
    rows: tuple[GateRow, ...]


class Golden(Record):
    """Golden inputs and the answers to them, as paths in the bundle, one file per tensor.

    Attributes:
        inputs: in the signature's order, each [N, *spec.sample_shape].
        images: N.
        source: of the inputs.
        outputs: by name of the artifact or ``reference``: its answers on the machine that built it.
        graphs: by name of the artifact: answers of the lowered graph; empty in schema 1.
    """

    inputs: Files
    images: Count
    source: Text
    outputs: dict[Text, Files]
    graphs: dict[Text, Files] = Field(default_factory=dict)


# What a classifier answers with. Probabilities come from a softmax at the end of the network, and
# must not go through another one.
Scores = Literal["logits", "probabilities"]
Stage = Literal["lowering", "verification", "gate"]


class FailedArtifact(KeyedRecord):
    """A requested file that could not be built.

    Attributes:
        stage: that failed: lowering, comparison with the graph, or the accuracy gate.
        reason: one sentence.
        hint: what the user can do.
    """

    stage: Stage
    reason: Text
    hint: Text

    @classmethod
    def of(cls, key: ArtifactKey, **fields: str) -> FailedArtifact:
        """Return a record for a key and the other fields."""
        return cls.model_validate({**asdict(key), **fields})


class Manifest(Record):
    """The content of `bundle.json`.

    Attributes:
        scores: None if the task does not classify, or the bundle is older than the field.
        detection: None if the task has no boxes.
        state: inputs that are an output of the inference before, each with that output.
    """

    schema_version: SchemaVersion = SCHEMA_VERSION
    kit_version: Text
    created: datetime
    recipe: Recipe
    recipe_hash: Text
    parameters: Size
    task: Text
    signature: Signature
    preprocessing: Preprocessing | None
    tokenization: Tokenization | None = None
    detection: Detection | None = None
    state: dict[Text, Text] = Field(default_factory=dict)
    labels: Literal["labels.txt"] | None
    scores: Scores | None = None
    weights: Source
    calibration: Calibration | None
    corrections: tuple[Text, ...]
    kept_float: tuple[Text, ...] = ()
    ranges: tuple[Range, ...] = ()
    encodings: Literal["encodings.json"] | None = None
    training: Training | None = None
    gate: GateRecord | None = None
    qconfig: dict[Text, dict[Text, Text]]
    golden: Golden
    artifacts: tuple[Artifact, ...]
    failed: tuple[FailedArtifact, ...] = ()
    notices: tuple[Notice, ...] = ()
    tools: dict[Text, Text]
    files: dict[str, FileEntry]

    @field_validator("artifacts")
    @classmethod
    def _one_of_each_key(cls, artifacts: tuple[Artifact, ...]) -> tuple[Artifact, ...]:
        for name, count in Counter(artifact.name for artifact in artifacts).items():
            if count > 1:
                raise ValueError(f"it has {count} files called {name}")
        return artifacts

    @model_validator(mode="before")
    @classmethod
    def _translate(cls, raw: object) -> object:
        if not isinstance(raw, dict):
            return raw
        return translate(raw, SCHEMA_VERSION)

    @model_validator(mode="after")
    def _shapes_fit_the_task(self) -> Manifest:
        signature, pictures = self.signature, self.preprocessing
        if pictures is not None:
            shape = signature.inputs[0].shape
            if shape != (1, *pictures.shape):
                raise ValueError(f"the input is {shape}, and pictures are {pictures.shape}")
        text = self.tokenization
        if text is not None and any(s.shape != (1, text.tokens) for s in signature.inputs):
            raise ValueError(f"an input is not [1, {text.tokens}], the length of its texts")
        if (self.detection is not None) != (self.task == DETECTION):
            raise ValueError(f"detection belongs to the task {DETECTION}, and to no other")
        if self.detection is not None:
            if pictures is None:
                raise ValueError("it has boxes, and no pictures that they are in")
            self.detection.check_shapes([spec.shape for spec in signature.outputs])
        if self.task == CLASSIFICATION:
            shape = signature.outputs[0].shape
            if pictures is None or len(shape) != 2 or not 2 <= shape[-1] <= MAX_CLASSES:
                raise ValueError(f"the output is {shape}, not [1, classes]")
        return self

    @model_validator(mode="after")
    def _golden_fits_the_signature(self) -> Manifest:
        golden = self.golden
        if len(golden.inputs) != len(self.signature.inputs):
            raise ValueError(f"golden.inputs names {len(golden.inputs)} files, not one per input")
        for files in (*golden.outputs.values(), *golden.graphs.values()):
            if len(files) != len(self.signature.outputs):
                raise ValueError(f"golden answers are in {len(files)} files, not one per output")
        return self

    @model_validator(mode="after")
    def _states_are_tensors(self) -> Manifest:
        inputs = {spec.name: spec for spec in self.signature.inputs}
        outputs = {spec.name: spec for spec in self.signature.outputs}
        for taker, giver in self.state.items():
            if taker not in inputs or giver not in outputs:
                raise ValueError(f"the state {taker}={giver} names no input and output")
            one, other = inputs[taker], outputs[giver]
            if (one.shape, one.dtype) != (other.shape, other.dtype):
                raise ValueError(f"the state {taker}={giver} has two shapes or dtypes")
        return self

    @property
    def feedback(self) -> Feedback:
        """The positions of each input that is a state, and of the output that it takes."""
        takers = [spec.name for spec in self.signature.inputs]
        givers = [spec.name for spec in self.signature.outputs]
        return tuple((takers.index(t), givers.index(g)) for t, g in self.state.items())

    @property
    def classes(self) -> int:
        """The number of classes, the second dimension of the first output; 0 if it has none.

        A detector's is in `detection`.
        """
        if self.detection is not None:
            return self.detection.classes
        return (*self.signature.outputs[0].shape, 0, 0)[1]

    @property
    def artifact_keys(self) -> list[ArtifactKey]:
        """The keys of the files."""
        return [artifact.key for artifact in self.artifacts]

    def select(self, names: Iterable[str] | None) -> list[ArtifactKey]:
        """Return the keys of files by name, in the manifest's order.

        Args:
            names: of files or formats; None for all files.

        Raises:
            BundleError: the bundle has no file of that name, perhaps because it failed.
        """
        if names is None:
            return self.artifact_keys
        texts = list(names)
        for text in texts:
            if not any(key.is_named(text) for key in self.artifact_keys):
                raise self._missing_error(text)
        return [key for key in self.artifact_keys if any(key.is_named(text) for text in texts)]

    def select_runnable(self, names: Iterable[str] | None) -> list[ArtifactKey]:
        """Return the keys of the files that are named and that a runtime here can run.

        Args:
            names: of files or of formats; None for all.

        Raises:
            BundleError: the bundle has no file of a name, or nothing here runs the files of one.
        """
        texts = None if names is None else list(names)
        selected = self.select(texts)
        runnable = [key for key in selected if self.artifact(key.name).executed]
        groups = [[k for k in selected if k.is_named(text)] for text in texts or ()] or [selected]
        for group in groups:
            if group and not any(key in runnable for key in group):
                raise BundleError(
                    f"nothing here runs {', '.join(key.name for key in group)}",
                    "leave it out, or build the bundle with formats that run here as well",
                )
        return runnable

    def artifact(self, name: str) -> Artifact:
        """Return the artifact by name, or by a format that has one file.

        Raises:
            BundleError: the bundle has no such file, perhaps because it failed, or has several.
        """
        matches = [artifact for artifact in self.artifacts if artifact.key.is_named(name)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise BundleError(
                f"the bundle has {len(matches)} {name} files",
                f"name one: {', '.join(a.name for a in matches)}",
            )
        raise self._missing_error(name)

    def measure(self, file: str) -> FileEntry:
        """Return size and SHA-256 of a file of the bundle, or of a folder with its files.

        A folder's digest is that of lines of name in the folder, size and SHA-256 of its files,
        sorted by name, with a space between.

        Raises:
            BundleError: the bundle lists neither.
        """
        if file in self.files:
            return self.files[file]
        prefix = f"{file}/"
        members = sorted((n, entry) for n, entry in self.files.items() if n.startswith(prefix))
        if not members:
            raise BundleError(
                f"the bundle gives no hash of {file}, which belongs to it",
                "copy the bundle again, or build it again",
            )
        lines = (f"{n.removeprefix(prefix)} {e.size} {e.sha256}\n" for n, e in members)
        digest = hashlib.sha256("".join(lines).encode()).hexdigest()
        return FileEntry(size=sum(entry.size for _, entry in members), sha256=digest)

    def _missing_error(self, name: str) -> BundleError:
        have = ", ".join(key.name for key in self.artifact_keys)
        failure = next((f for f in self.failed if f.key.is_named(name)), None)
        if failure is not None:
            return BundleError(
                f"the bundle has no {name} file: its {failure.stage} failed ({failure.reason})",
                f"it has: {have}; {failure.hint}",
            )
        return BundleError(f"the bundle has no {name} file", f"it has: {have}")
