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
       `Recipe.preprocess`, `Recipe.dynamic`, `Recipe.state`; ``auto`` in `Recipe.keep_float`,
       which is its default; names of operations in `Manifest.kept_float`;
       `Manifest.detection`, `Manifest.state`, `Signature.varying`; more precisions

Manifests of all older schemas can be read: `kit.manifest.history` translates changed fields.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from kit.artifact_key import ArtifactKey
from kit.detection import Detection
from kit.documents import MAX_CLASSES, Count, Digest, Record, SchemaVersion, Size, Text
from kit.errors import BundleError
from kit.manifest.artifacts import Artifact, FailedArtifact
from kit.manifest.build_records import Calibration, GateRecord, Range, Source, Training
from kit.manifest.history import translate
from kit.manifest.preprocessing import Preprocessing, Tokenization
from kit.notices import Notice
from kit.recipe import Recipe
from kit.registry import CLASSIFICATION, DETECTION
from kit.signature import MAX_TENSORS, Feedback, Signature

SCHEMA_VERSION = 7
Files = Annotated[tuple[Text, ...], Field(min_length=1, max_length=MAX_TENSORS)]


class FileEntry(Record):
    """Size in bytes and SHA-256 of one file of the bundle."""

    size: Size
    sha256: Digest


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
