"""State that the steps of a build share."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kit.artifact_key import ArtifactKey
from kit.calibration import CalibrationSet, ModelInputs
from kit.encodings import Encodings
from kit.errors import BuildError, RecipeError
from kit.lowering_job import SizeProbe
from kit.manifest.artifacts import FailedArtifact, Stage
from kit.manifest.build_records import Calibration, Range, Source, Training
from kit.manifest.preprocessing import Preprocessing
from kit.manifest.schema import Scores
from kit.notices import Notice
from kit.pipeline._artifact_keys import list_keys
from kit.progress import ReportStatus
from kit.recipe import Recipe
from kit.tasks.interface import Task

if TYPE_CHECKING:
    from torch import Tensor

SECONDS = 5.0  # between two progress lines of a stage
MAX_REASON = 5_000  # characters
# Of what is calibrated: below, a network of classes answers a tenth of the pictures differently.
# kit's files of MobileNets have 18 to 24 dB.
INACCURATE_DB = 15.0


@dataclass(kw_only=True)
class Preparation:
    """State of a build before it writes files, or of an analysis of its float model.

    Attributes:
        recipe: of the build.
        cache_key: of the build; equal builds have equal keys.
        task: of the model.
        pictures: the calibration set, not yet read.
        progress: called with the name of each stage.
        inputs: specs, preprocessing and labels of the model.
        scores: what a classifier answers with, once its golden answers are there.
        weights: source of the model's weights, once it is loaded.
        kept_float: layers that are not quantized.
        ranges: of activations, if the recipe's observer searches them.
        encodings: of the folded model's tensors, if the method calibrates.
        original: state of the folded model before its corrections, if a float file needs it.
        extremes: minimum and maximum of each tensor on the calibration pictures, if these were
            run to choose encodings.
    """

    recipe: Recipe
    cache_key: str
    task: Task
    pictures: CalibrationSet
    progress: ReportStatus
    inputs: ModelInputs
    scores: Scores | None = None
    weights: Source | None = None
    parameters: int = 0
    calibration: Calibration | None = None
    corrections: tuple[str, ...] = ()
    kept_float: tuple[str, ...] = ()
    ranges: tuple[Range, ...] = ()
    encodings: Encodings | None = None
    extremes: dict[str, tuple[float, float]] = field(default_factory=dict)
    original: dict[str, Tensor] = field(default_factory=dict)
    training: Training | None = None
    notices: list[Notice] = field(default_factory=list)

    @property
    def artifact_keys(self) -> tuple[ArtifactKey, ...]:
        """Return the keys of the recipe's files."""
        return list_keys(self.recipe)

    @property
    def preprocessing(self) -> Preprocessing:
        """Return the preprocessing of pictures.

        Raises:
            RecipeError: the task's samples are no pictures.
        """
        if self.inputs.preprocessing is None:
            raise RecipeError(
                f"the task {self.task.name} has no pictures, which this step needs",
                "leave the option out, or use another --task",
            )
        return self.inputs.preprocessing


@dataclass(frozen=True)
class Failure:
    """A file that is left out of the bundle, with the stage and the error that it failed with."""

    key: ArtifactKey
    stage: Stage
    error: BuildError

    def record(self) -> FailedArtifact:
        """Return it as the manifest has it."""
        return FailedArtifact.of(
            self.key,
            stage=self.stage,
            reason=self.error.message[:MAX_REASON],
            hint=self.error.hint[:MAX_REASON],
        )


@dataclass(kw_only=True)
class Work(Preparation):
    """One build.

    Attributes:
        folder: of the future bundle.
        shared: temporary folder that this process and its children share.
        all_or_nothing: raise an error if a file fails, instead of leaving it out.
        failures: by artifact, in the order in which they failed.
        probes: sizes other than the recipe's at which files are run.
    """

    folder: Path
    shared: Path
    all_or_nothing: bool = False
    failures: dict[ArtifactKey, Failure] = field(default_factory=dict)
    probes: tuple[SizeProbe, ...] = ()

    def add_failure(self, key: ArtifactKey, stage: Stage, error: BuildError) -> None:
        """Record that a file failed."""
        self.failures[key] = Failure(key, stage, error)

    def list_failures(self) -> tuple[Failure, ...]:
        """Return the failures in the order of the recipe."""
        return tuple(self.failures[key] for key in self.artifact_keys if key in self.failures)


def make_reporter(progress: ReportStatus, stage: str) -> Callable[[float], None]:
    """Return a function that reports the progress of a long stage every few seconds.

    Args:
        progress: of the build.
        stage: its name.
    """
    began = time.monotonic()
    shown = [began]

    def step(done: float) -> None:
        now = time.monotonic()
        if now - shown[0] >= SECONDS and 0 < done < 1:
            shown[0] = now
            left = (now - began) * (1 - done) / done
            progress(f"{stage}: {done:.0%}, about {left:.0f} s left")

    return step
