"""Text classification: texts in, logits of classes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kit.calibration import CalibrationSet, ModelInputs
from kit.comparison import Against, compare_logits, describe_logits
from kit.error_text import shorten_value
from kit.errors import SampleError
from kit.manifest.artifacts import Comparison
from kit.manifest.schema import Scores
from kit.network import run_network
from kit.signature import Samples, Signature
from kit.tasks._pictures import read_class_names
from kit.tasks._text.task import TextTask
from kit.tasks._text.texts import LabelledText, TextCalibration, encode_texts
from kit.tasks.answers import AnswerContext, ShownAnswer
from kit.tasks.evaluation import EvaluationContext, Tally
from kit.tasks.interface import GoldenSet

if TYPE_CHECKING:
    from torch import nn

    from kit.recipe import Recipe

_AT_ONCE = 8  # texts


class TextClassification(TextTask):
    """One text in, one row of logits out."""

    name = "text-classification"
    summary = "a text in, logits of classes out"
    threshold_names = frozenset({"agreement", "sqnr_db", "max_abs"})
    label_hint = "the texts have no labels, so there is no top-1; a .csv of text,label gives them"
    label_place = "use a .csv of text,label"
    keys = ("logits",)

    def describe_inputs(self, recipe: Recipe) -> ModelInputs:
        """Return the tokens that the model takes, and the names of its classes."""
        from kit.tasks._text.model import describe_text_model

        self.check_recipe(recipe)
        inputs, classes = describe_text_model(recipe, self.name, "logits", self.adapt_network)
        return replace(inputs, classes=classes, labels=read_class_names(recipe, classes))

    def choose_golden(
        self, model: nn.Module, inputs: ModelInputs, calibration: CalibrationSet
    ) -> GoldenSet:
        """Return the texts with the surest answers, of those that did not calibrate.

        If all did, of all.
        """
        from kit.tasks.image_classification.golden import CANDIDATES, select_surest

        assert isinstance(calibration, TextCalibration)  # as `open_calibration` returns it
        pool = (calibration.rest or calibration.chosen)[:CANDIDATES]
        texts = encode_texts(pool, inputs, calibration.source)
        at_once = _AT_ONCE if inputs.at_once else 1
        answers = run_network(model, texts, inputs.outputs, at_once)
        chosen = select_surest(answers.arrays[0])
        return GoldenSet(calibration.source, texts.take(chosen), answers.take(chosen))

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

    def find_targets(
        self, texts: Sequence[LabelledText], context: EvaluationContext, source: Path
    ) -> tuple[int, ...]:
        """Return the classes that labels name, by index or by name."""
        from kit.images.labels import Classes

        classes = Classes(context.inputs.labels or ())
        targets = []
        for one in texts:
            number = None if one.label is None else classes.find(one.label)
            if number is None or number >= context.inputs.classes:
                raise SampleError(
                    f"line {one.line} of {source} has the label {shorten_value(one.label or '')}, "
                    f"which is no class of the model's {context.inputs.classes}",
                    "a label is the index of a class, or a name of the bundle's labels.txt",
                )
            targets.append(number)
        return tuple(targets)

    def show_answer(self, answer: Samples, context: AnswerContext) -> ShownAnswer:
        """Return the best labels with their probabilities."""
        from kit.tasks.image_classification.showing import show_labels

        return show_labels(answer, context)

    def start_tally(self, signature: Signature) -> Tally:
        """Return an empty tally of top-1, top-5, agreement and SQNR."""
        from kit.tasks.image_classification.tally import LogitsTally

        return LogitsTally()


TASK = TextClassification()
