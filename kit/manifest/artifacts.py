"""What a bundle says about each model file, and about files that could not be built."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Annotated, Literal

from pydantic import Field, field_validator

from kit.artifact_key import ArtifactKey, KeyedRecord
from kit.documents import Count, Record, Share, Text

Number = Annotated[float, Field(allow_inf_nan=True)]  # not finite if a comparison failed


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
