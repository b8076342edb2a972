"""What a build and its children that lower files exchange: jobs, files of tensors, answers."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from kit import errors
from kit.artifact_key import ArtifactKey
from kit.encodings import Encodings
from kit.manifest.artifacts import Artifact
from kit.manifest.preprocessing import Preprocessing
from kit.manifest.schema import Scores
from kit.recipe import Recipe
from kit.signature import TensorSpec

# State dicts of the folded float model: as it is quantized, and as it was before its corrections.
FLOAT_STATE = "float.pt"
ORIGINAL_STATE = "original.pt"
CALIBRATION = "calibration.arrays"  # see `kit.signature.save`
GOLDEN = "golden.arrays"
GRAPH = "{name}.graph.arrays"
RUNTIME = "{name}.runtime.arrays"


class SizeProbe(BaseModel):
    """Samples that a file is run on at other sizes; see `kit.size_checks`.

    Attributes:
        sizes: by the names of the dimensions.
        inputs: of these sizes.
        outputs: of the model at these sizes.
    """

    sizes: dict[str, int]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class LoweringJob(BaseModel):
    """The job of a child.

    Attributes:
        key: of the file to make.
        quantize: the method for this file, which is ``none`` for a float file beside int8 ones.
        recipe: what is being built.
        classes: of the model.
        inputs: of the model.
        outputs: of the model.
        at_once: see `kit.calibration.ModelInputs`.
        shared: folder with the float state, the calibration batch and the golden input;
            the model file is written there as well.
        output_margin: see `kit.quantize.options.Options`.
        keep_float: names of the layers that are not quantized.
        encodings: of the model's tensors, where the method has any.
        preprocessing: of pictures; None if the input is no picture.
        labels: names of the classes in output order, or None.
        scores: what a classifier answers with, or None.
        threads: that the child may use.
        probes: other sizes at which the file is run.
    """

    model_config = ConfigDict(frozen=True)

    key: ArtifactKey
    quantize: str
    recipe: Recipe
    classes: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    at_once: bool
    shared: Path
    output_margin: float
    keep_float: tuple[str, ...] = ()
    encodings: Encodings | None = None
    preprocessing: Preprocessing | None = None
    labels: tuple[str, ...] | None = None
    scores: Scores | None = None
    threads: int
    probes: tuple[SizeProbe, ...] = ()


class Lowered(BaseModel):
    """What a child answers; the answers of graph and runtime lie beside it."""

    artifact: Artifact
    qconfig: dict[str, str]


def name_answer(job_file: Path) -> Path:
    """Return the path of a child's answer."""
    return job_file.with_suffix(".answer.json")


def read_answer(job_file: Path) -> Lowered:
    """Return a child's answer, or raise the error that it reported."""
    answer = json.loads(name_answer(job_file).read_text(encoding="utf-8"))
    if "error" in answer:
        name, message, hint = answer["error"]
        raise errors.make_error(name, message, hint)
    return Lowered.model_validate(answer["lowered"])
