"""Embedding: pictures in, vectors out, as search and recognition compare them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kit import calibration
from kit.calibration import CalibrationSet, ModelInputs
from kit.comparison import Against, compare_tensors, describe_values
from kit.errors import RecipeError
from kit.manifest.artifacts import Comparison
from kit.recipe import PICTURE_OPTIONS
from kit.signature import Samples, Signature
from kit.tasks._pictures import (
    choose_crops,
    describe_own_model,
    list_pictures,
    refuse_training,
)
from kit.tasks._vectors import show_vector
from kit.tasks.answers import AnswerContext, SampleList, ShownAnswer
from kit.tasks.evaluation import EvaluationContext, EvaluationSet, Tally
from kit.tasks.interface import GoldenSet, Task

if TYPE_CHECKING:
    from torch import nn

    from kit.models.probing import AnswerForm
    from kit.recipe import Recipe

OUTPUT = "vector"
_HINT = "it must return vectors [N, numbers] of two numbers or more"


class Embedding(Task):
    """One picture in, one vector out; vectors are compared by the angle between them."""

    name = "embedding"
    summary = "a picture in, a vector out"
    sample = "picture"
    options = frozenset(PICTURE_OPTIONS)
    varies = frozenset({"height", "width"})
    threshold_names = frozenset({"sqnr_db", "max_abs", "cosine"})

    def check_recipe(self, recipe: Recipe) -> None:
        """Refuse training, and names of classes."""
        refuse_training(recipe, self.name)
        if recipe.labels is not None:
            raise RecipeError(
                f"labels = {recipe.labels!r} does nothing with the task {self.name}, whose models "
                "have no classes",
                "leave it out",
            )

    def open_calibration(self, recipe: Recipe) -> CalibrationSet:
        """Return the recipe's pictures, or crops of sample photos."""
        return calibration.choose(recipe)

    def describe_inputs(self, recipe: Recipe) -> ModelInputs:
        """Return the preprocessing of pictures."""
        return describe_own_model(recipe, self.name, _describe_form())[0]

    def choose_golden(
        self, model: nn.Module, inputs: ModelInputs, calibration: CalibrationSet
    ) -> GoldenSet:
        """Return crops of sample photos."""
        return choose_crops(model, inputs, OUTPUT)

    def compare(
        self,
        against: Against,
        right: Samples,
        other: Samples,
        thresholds: Mapping[str, float],
    ) -> tuple[Comparison, ...]:
        """Compare vectors."""
        return (compare_tensors(against, right.arrays[0], other.arrays[0], thresholds),)

    def describe_answers(self, answers: Samples) -> str:
        """Return statistics of vectors."""
        return describe_values(answers.arrays[0])

    def open_evaluation(
        self, context: EvaluationContext, source: Path, labels: Path | None, limit: int | None
    ) -> EvaluationSet:
        """Open a folder or zip of pictures, whose folders are their classes."""
        from kit.tasks.embedding.evaluation import open_pictures

        return open_pictures(context, source, labels, limit)

    def open_samples(self, inputs: ModelInputs, source: Path) -> SampleList:
        """List one picture, or those of a folder or zip."""
        return list_pictures(inputs, source)

    def show_answer(self, answer: Samples, context: AnswerContext) -> ShownAnswer:
        """Return length and first values, and the cosine to the float model's vector."""
        return show_vector(answer, context)

    def start_tally(self, signature: Signature) -> Tally:
        """Return an empty tally of SQNR, cosines and nearest neighbours."""
        from kit.tasks.embedding.tally import VectorsTally

        return VectorsTally(signature)


def _describe_form() -> AnswerForm:
    from kit.models.probing import AnswerForm

    return AnswerForm(lambda shape: len(shape) == 2 and shape[1] >= 2, _HINT)


TASK = Embedding()
