"""The float model of a recipe with its pictures, for analyses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kit import models
from kit.errors import PictureError, RecipeError
from kit.network import run_network
from kit.pipeline import _check, _model, _prepare, _threads
from kit.pipeline.build_state import Preparation
from kit.progress import ReportStatus
from kit.recipe import Recipe
from kit.registry import CLASSIFICATION
from kit.signature import Samples
from kit.tasks import get_task

if TYPE_CHECKING:
    from torch import nn
    from torch.fx import GraphModule

    from kit.signature import FloatArray

_AT_ONCE = 8  # pictures
CROPS = 96  # of sample photos, if there are no pictures to measure on


@dataclass(frozen=True)
class FloatModel:
    """A float model with its weights and calibration pictures.

    Attributes:
        work: state of a build at this point; its recipe is static.
        model: in eval mode.
        calibration: the batch [N, 3, H, W].
    """

    work: Preparation
    model: nn.Module
    calibration: FloatArray

    def prepared(
        self, corrections: str | None = None, keep_float: tuple[str, ...] | None = None
    ) -> tuple[GraphModule, tuple[str, ...]]:
        """Return the folded and corrected model, and the names of layers kept in float.

        Args:
            corrections: instead of the recipe's.
            keep_float: instead of the recipe's.

        Raises:
            UnknownName: a layer to keep does not exist.
        """
        import torch

        from kit.quantize.examples import as_examples

        changes: dict[str, object] = {}
        if corrections is not None:
            changes["corrections"] = corrections
        if keep_float is not None:
            changes["keep_float"] = keep_float
        work = replace(self.work, recipe=self.work.recipe.model_copy(update=changes))
        with models.guard_network(work.recipe.model):
            folded = _prepare.prepare(
                work, self.model, as_examples(torch.from_numpy(self.calibration))
            )
        return folded, work.kept_float

    def answer(self, inputs: FloatArray) -> Samples:
        """Return the float model's answers.

        Raises:
            WeightsError: one is not a finite number.
        """
        with models.guard_network(self.work.recipe.model):
            samples = Samples(self.work.inputs.specs, (inputs,))
            return run_network(self.model, samples, at_once=_AT_ONCE)


@dataclass(frozen=True)
class Unseen:
    """Pictures that are not in the calibration set.

    Attributes:
        source: name for messages.
        inputs: the batch [N, 3, H, W].
        labels: class of each, or None if one has no label.
    """

    source: str
    inputs: FloatArray
    labels: tuple[int, ...] | None


def load_float_model(recipe: Recipe, progress: ReportStatus = lambda stage: None) -> FloatModel:
    """Load the float model and the calibration pictures of a recipe.

    Args:
        recipe: its method is replaced by ``static``, without training.
        progress: called with the name of each stage as it begins.

    Raises:
        RecipeError: the task's models cannot be analyzed.
        KitError: the weights or the pictures cannot be used.
    """
    _threads.wait_passively()
    _check.check_names(recipe)
    task = get_task(recipe.task)
    if not task.analyzable:
        raise RecipeError(
            f"models of the task {recipe.task} cannot be analyzed",
            "`kit eval` compares each format with the float model",
        )
    pictures = task.open_calibration(recipe)
    progress("loading PyTorch and the weights")
    work = Preparation(
        recipe=recipe.model_copy(update={"quantize": "static"}),
        cache_key="",
        task=task,
        pictures=pictures,
        progress=progress,
        inputs=task.describe_inputs(recipe),
    )
    with models.guard_network(recipe.model):
        model = _model.load(work)
    return FloatModel(work, model, pictures.load(work.inputs).arrays[0])


def choose_unseen(float_model: FloatModel, images: Path | None, maximum: int) -> Unseen:
    """Return pictures outside the calibration set, evenly spread over their set.

    Args:
        float_model: the model that they are prepared for.
        images: folder or zip; None takes the rest of the calibration's folder.
        maximum: number of pictures.

    Raises:
        PictureError: the set or a picture cannot be used.
    """
    from kit.images import hash_picture, make_batch, open_set

    work = float_model.work
    path = images or (Path(work.recipe.calibrate) if work.recipe.calibrate else None)
    if path is None:
        return _crops(work, maximum)
    opened = open_set(path, None, work.inputs.labels or ())
    seen = frozenset(work.pictures.digests)
    chosen = [picture for picture in opened if hash_picture(picture) not in seen]
    if not chosen and images is None:
        return _crops(work, maximum)
    if not chosen:
        raise PictureError(
            f"every picture of {opened.source} calibrates the model",
            "measure on other pictures, or use fewer --calibration-images",
        )
    if len(chosen) > maximum:
        chosen = [chosen[i * len(chosen) // maximum] for i in range(maximum)]
    labels = [p.label for p in chosen if p.label is not None and p.label < work.inputs.classes]
    is_complete = work.recipe.task == CLASSIFICATION and len(labels) == len(chosen)
    complete = tuple(labels) if is_complete else None
    return Unseen(opened.source, make_batch(chosen, work.preprocessing), complete)


def _crops(work: Preparation, maximum: int) -> Unseen:
    from kit.images import photos

    return Unseen(photos.SOURCE, photos.make_golden(min(CROPS, maximum), work.preprocessing), None)
