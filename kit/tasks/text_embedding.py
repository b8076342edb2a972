"""Text embedding: texts in, vectors out, as search compares them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kit.calibration import CalibrationSet, ModelInputs
from kit.comparison import Against, compare_tensors, describe_values
from kit.manifest.artifacts import Comparison
from kit.network import run_network
from kit.signature import Samples, Signature
from kit.tasks._text.task import TextTask
from kit.tasks._text.texts import LabelledText, TextCalibration, encode_texts
from kit.tasks._vectors import show_vector
from kit.tasks.answers import AnswerContext, ShownAnswer
from kit.tasks.evaluation import EvaluationContext, Tally
from kit.tasks.interface import GoldenSet

if TYPE_CHECKING:
    from torch import nn

    from kit.recipe import Recipe

_GOLDEN = 16  # texts


class TextEmbedding(TextTask):
    """One text in, one vector out; vectors are compared by the angle between them."""

    name = "text-embedding"
    summary = "a text in, a vector out"
    threshold_names = frozenset({"sqnr_db", "max_abs", "cosine"})
    keys = ("sentence_embedding", "text_embeds", "pooler_output")
    unused = ("labels", *TextTask.unused)

    def describe_inputs(self, recipe: Recipe) -> ModelInputs:
        """Return the tokens that the model takes."""
        from kit.tasks._text.model import describe_text_model

        self.check_recipe(recipe)
        return describe_text_model(recipe, self.name, "vector", self.adapt_network)[0]

    def choose_golden(
        self, model: nn.Module, inputs: ModelInputs, calibration: CalibrationSet
    ) -> GoldenSet:
        """Return texts that did not calibrate; calibration texts if there are no others."""
        assert isinstance(calibration, TextCalibration)  # as `open_calibration` returns it
        pool = (calibration.rest or calibration.chosen)[:_GOLDEN]
        texts = encode_texts(pool, inputs, calibration.source)
        return GoldenSet(calibration.source, texts, run_network(model, texts, inputs.outputs))

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

    def find_targets(
        self, texts: Sequence[LabelledText], context: EvaluationContext, source: Path
    ) -> tuple[str | None, ...]:
        """Return the labels: texts of one label are neighbours."""
        return tuple(one.label for one in texts)

    def show_answer(self, answer: Samples, context: AnswerContext) -> ShownAnswer:
        """Return length and first values, and the cosine to the float model's vector."""
        return show_vector(answer, context)

    def start_tally(self, signature: Signature) -> Tally:
        """Return an empty tally of SQNR, cosines and nearest neighbours."""
        from kit.tasks.embedding.tally import VectorsTally

        return VectorsTally(signature)


TASK = TextEmbedding()
