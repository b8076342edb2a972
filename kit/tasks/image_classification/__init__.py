"""Image classification: pictures in, logits of classes out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kit import build_inputs, calibration, models
from kit.calibration import CalibrationSet, ModelInputs
from kit.comparison import Against, compare_logits, describe_logits
from kit.errors import RecipeError
from kit.manifest.artifacts import Comparison
from kit.manifest.schema import Scores
from kit.network import run_network
from kit.recipe import OWN, PICTURE_OPTIONS
from kit.registry import CLASSIFICATION
from kit.signature import Samples, Signature, TensorSpec, stack
from kit.tasks._pictures import (
    check_picture_options,
    describe_preprocessing,
    list_pictures,
    read_class_names,
)
from kit.tasks.answers import AnswerContext, SampleList, ShownAnswer
from kit.tasks.evaluation import EvaluationContext, EvaluationSet, Tally
from kit.tasks.image_classification.golden import CANDIDATES, select_surest
from kit.tasks.interface import GoldenSet, Task

if TYPE_CHECKING:
    from torch import nn

    from kit.recipe import Recipe

_AT_ONCE = 8  # pictures


class ImageClassification(Task):
    """One picture in, one row of logits out."""

    name = CLASSIFICATION
    summary = "a picture in, logits of classes out"
    sample = "picture"
    threshold_names = frozenset({"agreement", "sqnr_db", "max_abs"})
    label_hint = (
        "no labels were given, so there is no top-1 and top-5; --labels FILE.csv gives them"
    )
    label_place = "name the folders by class"
    options = frozenset(PICTURE_OPTIONS)
    varies = frozenset({"height", "width"})
    analyzable = True

    def check_recipe(self, recipe: Recipe) -> None:
        """Refuse what kit's own networks do not take; all fields are for classifiers."""
        check_picture_options(recipe)

    def open_calibration(self, recipe: Recipe) -> CalibrationSet:
        """Return the recipe's pictures, or crops of sample photos."""
        return calibration.choose(recipe)

    def describe_inputs(self, recipe: Recipe) -> ModelInputs:
        """Return the preprocessing of pictures and the names of the classes."""
        from kit.models.sourced import SourcedModel
        from kit.models.user_model import UserModel

        member = models.get_model(recipe.model)
        if isinstance(member, SourcedModel) and member.task != self.name:
            raise RecipeError(
                f"{recipe.model} is no image classifier, but for the task {member.task}",
                f"use --task {member.task}, its default",
            )
        preprocessing = describe_preprocessing(recipe, member)
        if isinstance(member, UserModel):
            classes = member.classes(recipe.resolution, preprocessing.shape)
            names = read_class_names(recipe, classes)
        else:
            names = build_inputs.read_labels(recipe)
            classes = len(names) if names else member.spec.classes
        if isinstance(member, SourcedModel):
            if recipe.weights == OWN:
                read_class_names(recipe, member.spec.classes)
            names = names or member.spec.labels
            member.check_input(recipe.sides, classes)
        spec = TensorSpec(name="image", shape=(1, *preprocessing.shape))
        return ModelInputs((spec,), classes, preprocessing, names or _imagenet(classes))

    def choose_golden(
        self, model: nn.Module, inputs: ModelInputs, calibration: CalibrationSet
    ) -> GoldenSet:
        """Return the crops of sample photos with the largest margin between the top two logits."""
        from kit.images import photos

        assert inputs.preprocessing is not None
        crops = stack("image", photos.make_golden(CANDIDATES, inputs.preprocessing))
        answers = run_network(model, crops, ("logits",), _AT_ONCE)
        chosen = select_surest(answers.arrays[0])
        return GoldenSet(photos.SOURCE, crops.take(chosen), answers.take(chosen))

    def compare(
        self,
        against: Against,
        right: Samples,
        other: Samples,
        thresholds: Mapping[str, float],
    ) -> tuple[Comparison, ...]:
        """Compare logits."""
        return (compare_logits(against, right.arrays[0], other.arrays[0], thresholds),)

    def describe_answers(self, answers: Samples) -> str:
        """Return statistics of logits, and the first answers."""
        return describe_logits(answers.arrays[0])

    def describe_scores(self, golden: Samples) -> Scores:
        """Return whether the network ends with a softmax."""
        from kit.tasks.image_classification.showing import describe_scores

        return describe_scores(golden)

    def open_evaluation(
        self, context: EvaluationContext, source: Path, labels: Path | None, limit: int | None
    ) -> EvaluationSet:
        """Open a folder or zip of pictures; see `kit.images.sets`."""
        from kit.tasks.image_classification.evaluation import open_pictures

        return open_pictures(context, source, labels, limit)

    def open_samples(self, inputs: ModelInputs, source: Path) -> SampleList:
        """List one picture, or those of a folder or zip."""
        return list_pictures(inputs, source)

    def show_answer(self, answer: Samples, context: AnswerContext) -> ShownAnswer:
        """Return the best labels with their probabilities."""
        from kit.tasks.image_classification.showing import show_labels

        return show_labels(answer, context)

    def start_tally(self, signature: Signature) -> Tally:
        """Return an empty tally of top-1, top-5, agreement and SQNR."""
        from kit.tasks.image_classification.tally import LogitsTally

        return LogitsTally()


def _imagenet(classes: int) -> tuple[str, ...] | None:
    from kit.images.labels import list_imagenet_categories

    names = list_imagenet_categories()
    return names if classes == len(names) else None


TASK = ImageClassification()
