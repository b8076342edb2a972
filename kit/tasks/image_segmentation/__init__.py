"""Semantic segmentation: pictures in, a map of class logits out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kit import calibration
from kit.calibration import CalibrationSet, ModelInputs
from kit.comparison import Against, compare_logits, describe_values
from kit.manifest.artifacts import Comparison
from kit.network import take_output
from kit.recipe import PICTURE_OPTIONS
from kit.signature import Samples, Signature
from kit.tasks._pictures import (
    choose_crops,
    describe_own_model,
    list_pictures,
    read_class_names,
    refuse_training,
)
from kit.tasks.answers import AnswerContext, SampleList, ShownAnswer
from kit.tasks.evaluation import EvaluationContext, EvaluationSet, Tally
from kit.tasks.interface import GoldenSet, Task

if TYPE_CHECKING:
    from torch import nn

    from kit.models.probing import AnswerForm
    from kit.recipe import Recipe

OUTPUT = "out"  # key of the logits in the dict that torchvision's networks return
_SHOWN = 5  # classes in messages
_HINT = (
    "it must return logits [N, classes, H, W] of two classes or more, or a dict that has them as "
    "'out'; of a network with one logit return torch.cat([torch.zeros_like(y), y], 1)"
)


class ImageSegmentation(Task):
    """One picture in, logits of each pixel's classes out."""

    name = "image-segmentation"
    summary = "a picture in, a class of each pixel out"
    sample = "picture"
    options = frozenset(PICTURE_OPTIONS)
    varies = frozenset({"height", "width"})
    threshold_names = frozenset({"agreement", "sqnr_db", "max_abs"})
    label_hint = "no masks were given, so there is no mean IoU; --labels DIR_OR_ZIP gives them"
    analyzable = True
    draws = True

    def check_recipe(self, recipe: Recipe) -> None:
        """Refuse training."""
        refuse_training(recipe, self.name)

    def open_calibration(self, recipe: Recipe) -> CalibrationSet:
        """Return the recipe's pictures, or crops of sample photos."""
        return calibration.choose(recipe)

    def describe_inputs(self, recipe: Recipe) -> ModelInputs:
        """Return the preprocessing of pictures and the names of the classes.

        The shorter side of a picture is resized to the input's side: nothing else is cut off.
        """
        inputs, shape = describe_own_model(recipe, self.name, self._form(), resize_ratio=1.0)
        names = read_class_names(recipe, shape[1])
        return replace(inputs, classes=shape[1], labels=names)

    def adapt_network(self, model: nn.Module) -> nn.Module:
        """Let the network return `OUTPUT` alone where it returns a dict."""
        return take_output(model, (OUTPUT,))

    def _form(self) -> AnswerForm:
        from kit.models.probing import AnswerForm

        return AnswerForm(
            lambda shape: len(shape) == 4 and shape[1] >= 2, _HINT, self.adapt_network
        )

    def choose_golden(
        self, model: nn.Module, inputs: ModelInputs, calibration: CalibrationSet
    ) -> GoldenSet:
        """Return crops of sample photos, fewer if the maps are large."""
        assert inputs.preprocessing is not None  # as `describe_inputs` returns it
        height, width = inputs.preprocessing.sides
        return choose_crops(model, inputs, OUTPUT, values=inputs.classes * height * width)

    def compare(
        self,
        against: Against,
        right: Samples,
        other: Samples,
        thresholds: Mapping[str, float],
    ) -> tuple[Comparison, ...]:
        """Compare logits; the agreement is the share of pixels of the same class."""
        return (compare_logits(against, right.arrays[0], other.arrays[0], thresholds),)

    def describe_answers(self, answers: Samples) -> str:
        """Return statistics of logits, and the most frequent classes."""
        import numpy as np

        logits = answers.arrays[0]
        present, counts = np.unique(logits.argmax(1), return_counts=True)
        order = np.argsort(-counts, kind="stable")[:_SHOWN]
        shares = (f"{present[i]} ({counts[i] / counts.sum():.0%})" for i in order)
        return f"{describe_values(logits)}, classes of pixels {', '.join(shares)}"

    def open_evaluation(
        self, context: EvaluationContext, source: Path, labels: Path | None, limit: int | None
    ) -> EvaluationSet:
        """Open a folder or zip of pictures, and one of masks if there are any."""
        from kit.tasks.image_segmentation.evaluation import open_masked

        return open_masked(context, source, labels, limit)

    def open_samples(self, inputs: ModelInputs, source: Path) -> SampleList:
        """List one picture, or those of a folder or zip."""
        return list_pictures(inputs, source)

    def show_answer(self, answer: Samples, context: AnswerContext) -> ShownAnswer:
        """Return the shares of the classes in the picture, and of pixels as the float model's."""
        from kit.tasks.image_segmentation.showing import show_classes

        return show_classes(answer, context)

    def draw_answer(
        self, answer: Samples, sample: Samples, context: AnswerContext
    ) -> Mapping[str, bytes]:
        """Return the mask, and the picture with its colours, both as large as the input."""
        from kit.tasks.image_segmentation.showing import draw_mask

        return draw_mask(answer, sample, context)

    def start_tally(self, signature: Signature) -> Tally:
        """Return an empty tally of mean IoU, pixel accuracy, agreement and SQNR."""
        from kit.tasks.image_segmentation.tally import MapsTally

        return MapsTally()


TASK = ImageSegmentation()
