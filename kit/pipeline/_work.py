"""What the steps of a build hand on to each other."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kit.artifact_key import ArtifactKey
from kit.calibration import CalibrationSet, ModelInputs
from kit.encodings import Encodings
from kit.errors import RecipeError
from kit.manifest import Calibration, Preprocessing, Range, Source, Training
from kit.notices import Notice
from kit.pipeline._artifact_keys import list_keys
from kit.recipe import Recipe
from kit.tasks.interface import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    Array = NDArray[np.float32]

Progress = Callable[[str], None]

SECONDS = 5.0  # between two lines about one stage


@dataclass(kw_only=True)
class Preparation:
    """What a build has before it writes anything, and a study of its float model too.

    Attributes:
        recipe: what is built.
        cache_key: of the build; equal builds have equal keys.
        task: what the model is for.
        pictures: the calibration set, not yet read.
        progress: called with the name of each stage.
        inputs: what surrounds the model.
        all_or_nothing: a format that fails is an error, not a part that is missing.
        weights: of the model, once it is loaded.
        kept_float: layers that are not quantized.
        ranges: of activations, where the recipe has them chosen by their effect.
        encodings: of the folded model's tensors, where the method calibrates.
        original: state of the folded model before it was corrected, if a float file needs it.
        extremes: minimum and maximum of each tensor on the calibration pictures, where these
            were run for the encodings.
    """

    recipe: Recipe
    cache_key: str
    task: Task
    pictures: CalibrationSet
    progress: Progress
    inputs: ModelInputs
    all_or_nothing: bool = False
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
        """Return the keys of the files that the recipe asks for."""
        return list_keys(self.recipe)

    @property
    def preprocessing(self) -> Preprocessing:
        """Return how pictures are prepared.

        Raises:
            RecipeError: the task's samples are no pictures.
        """
        if self.inputs.preprocessing is None:
            raise RecipeError(
                f"the task {self.task.name} has no pictures, which this step needs",
                "leave the option out, or use another --task",
            )
        return self.inputs.preprocessing


@dataclass(kw_only=True)
class Work(Preparation):
    """One build.

    Attributes:
        folder: becomes the bundle.
        shared: temporary folder that the parent and its children share.
    """

    folder: Path
    shared: Path


def shares(work: Preparation, stage: str) -> Callable[[float], None]:
    """Return what tells the progress of a stage that takes long, every few seconds.

    Args:
        work: the build.
        stage: its name.
    """
    shown = [time.monotonic()]

    def step(done: float) -> None:
        now = time.monotonic()
        if now - shown[0] >= SECONDS and done < 1:
            shown[0] = now
            work.progress(f"{stage}: {done:.0%}")

    return step
