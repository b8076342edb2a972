"""Interface of tasks: `Task`, and the golden inputs that it chooses.

A task defines the use of a model: its samples and how they become inputs, which answers
count as equal, and what an evaluation measures. `tests/test_tasks.py` checks every registered
task against this interface.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from kit.calibration import CalibrationSet, DetectorOutputs, ModelInputs, TextInputs
from kit.comparison import Against
from kit.manifest.artifacts import Comparison
from kit.manifest.schema import Scores
from kit.recipe import Recipe
from kit.signature import Samples, Signature
from kit.tasks.answers import AnswerContext, SampleList, ShownAnswer, show_tensors
from kit.tasks.evaluation import EvaluationContext, EvaluationSet, Tally

if TYPE_CHECKING:
    from torch import nn

    from kit.bundles.bundle import Bundle


@dataclass(frozen=True)
class GoldenSet:
    """Inputs whose answers are compared between runtimes and with the float model.

    Attributes:
        source: of the inputs, for messages.
        answers: of the float model, whose specs name the model's outputs.
    """

    source: str
    inputs: Samples
    answers: Samples


class Task(ABC):
    """The use of a model.

    Attributes:
        name: of the task.
        summary: for `kit list`.
        sample: name of a sample in messages, such as ``picture``.
        threshold_names: thresholds that the task's comparisons check, such as ``sqnr_db``; others
            of a format are ignored.
        label_hint: printed by `kit eval` where there are no labels; empty if the task has none.
        label_place: how the samples of an accuracy gate get labels, as an instruction; empty if
            they cannot.
        options: fields of `kit.recipe.TASK_OPTIONS` that the task uses; others are refused.
        varies: dimensions of its inputs that `--dynamic` may vary, beside the batch.
        analyzable: whether `kit analyze` can study its models: pictures in, float tensors out,
            which `measure_agreement` compares.
        draws: whether `draw_answer` returns pictures.
        drop_metric: of the tally's `metrics`, in percent, that `--max-drop` keeps; empty for top-1.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    sample: ClassVar[str] = "sample"
    threshold_names: ClassVar[frozenset[str]]
    label_hint: ClassVar[str] = ""
    label_place: ClassVar[str] = ""
    options: ClassVar[frozenset[str]] = frozenset()
    varies: ClassVar[frozenset[str]] = frozenset()
    analyzable: ClassVar[bool] = False
    draws: ClassVar[bool] = False
    drop_metric: ClassVar[str] = ""

    @property
    def measures_agreement(self) -> bool:
        """Whether the tally has an agreement with the float model, which a gate can keep."""
        return "agreement" in self.threshold_names

    @abstractmethod
    def check_recipe(self, recipe: Recipe) -> None:
        """Refuse options of a recipe that this task does not support.

        Raises:
            RecipeError: names the option.
        """

    @abstractmethod
    def open_calibration(self, recipe: Recipe) -> CalibrationSet:
        """Return the calibration set of a recipe, not yet read.

        Raises:
            SampleError: the folder or file cannot be used.
        """

    def identify(self, recipe: Recipe) -> str:
        """Return the SHA-256 of what the network alone says and the bundle records; else "".

        It is part of the key of the cache, beside the recipe's files and the network's weights.
        """
        return ""

    @abstractmethod
    def describe_inputs(self, recipe: Recipe) -> ModelInputs:
        """Return the inputs, labels and preprocessing of a recipe's model.

        Raises:
            RecipeError: the user's model, labels or samples cannot be used together.
        """

    def adapt_network(self, model: nn.Module) -> nn.Module:
        """Return the network whose outputs the task uses; the argument may be changed.

        For networks that return more than that, such as a dict. Names of layers and weights
        must stay.
        """
        return model

    def load_calibration(
        self, model: nn.Module, inputs: ModelInputs, calibration: CalibrationSet
    ) -> Samples:
        """Read the calibration samples.

        Args:
            model: the float model, whose answers may be inputs.
            inputs: of it.
            calibration: the set.

        Raises:
            SampleError: one cannot be used.
        """
        return calibration.load(inputs)

    @abstractmethod
    def choose_golden(
        self, model: nn.Module, inputs: ModelInputs, calibration: CalibrationSet
    ) -> GoldenSet:
        """Return golden inputs and the float model's answers.

        Raises:
            WeightsError: an answer is not a finite number.
        """

    @abstractmethod
    def compare(
        self,
        against: Against,
        right: Samples,
        other: Samples,
        thresholds: Mapping[str, float],
    ) -> tuple[Comparison, ...]:
        """Compare answers, output by output.

        Args:
            against: the kind of `right`.
            right: the reference answers.
            other: the answers to compare with them, of the same shapes.
            thresholds: limits by the names in `threshold_names`.
        """

    def measure_agreement(self, reference: Samples, answers: Samples, inputs: ModelInputs) -> float:
        """Return the share of answers that are the float model's, for `kit analyze`.

        The default is that of logits [N, classes, …]: the largest one is of the same class.
        """
        left, right = reference.arrays[0], answers.arrays[0]
        return float((left.argmax(1) == right.argmax(1)).mean())

    @abstractmethod
    def describe_answers(self, answers: Samples) -> str:
        """Return statistics of answers in words, for messages."""

    def describe_scores(self, golden: Samples) -> Scores | None:
        """Return what a classifier answers with, by its golden answers; None for other tasks."""
        return None

    @abstractmethod
    def open_evaluation(
        self, context: EvaluationContext, source: Path, labels: Path | None, limit: int | None
    ) -> EvaluationSet:
        """Open a set without calibration and training samples, reduced to the limit.

        Raises:
            UsageError: the limit leaves no sample, or the task has no labels.
            SampleError: the set or a label cannot be used, or no sample is left.
        """

    def open_samples(self, inputs: ModelInputs, source: Path) -> SampleList:
        """List the samples of a file or folder without labels, those that calibrated included.

        The default takes what `open_evaluation` takes, and numbers the samples.

        Raises:
            SampleError: there is none.
        """
        context = EvaluationContext(inputs, frozenset(), labelled=False)
        opened = self.open_evaluation(context, source, None, None)
        names = [f"{self.sample} {number}" for number in range(1, len(opened) + 1)]
        return SampleList(names, lambda index: opened.load(index, index + 1)[0])

    def show_answer(self, answer: Samples, context: AnswerContext) -> ShownAnswer:
        """Return the answer to one sample, for people and for programs.

        The default is that of any model: shape and first values of each output.
        """
        return show_tensors(answer)

    def draw_answer(
        self, answer: Samples, sample: Samples, context: AnswerContext
    ) -> Mapping[str, bytes]:
        """Return pictures of the answer to one sample, as PNG, by what they show; see `draws`.

        The key is empty if there is only one picture.
        """
        return {}

    @abstractmethod
    def start_tally(self, signature: Signature) -> Tally:
        """Return an empty tally."""


def describe_bundle(bundle: Bundle) -> ModelInputs:
    """Return the inputs, labels and preprocessing of a bundle's model.

    Raises:
        BundleError: the tokenizer or the anchors cannot be read.
    """
    manifest, labels, tokenizer = bundle.manifest, bundle.labels(), bundle.read_tokenizer()
    text = None
    if manifest.tokenization is not None and tokenizer is not None:
        text = TextInputs(manifest.tokenization, tokenizer)
    detection = None
    if manifest.detection is not None:
        detection = DetectorOutputs(manifest.detection, bundle.read_anchors())
    return ModelInputs(
        manifest.signature.inputs,
        manifest.classes,
        manifest.preprocessing,
        None if labels is None else tuple(labels),
        text=text,
        detection=detection,
        feedback=manifest.feedback,
    )
