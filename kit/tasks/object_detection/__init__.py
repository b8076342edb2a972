"""Object detection: pictures in, scores and boxes out, as the network computes them.

What follows the network (decoding of boxes, non-maximum suppression) is no part of the files:
`kit.detection.Detection` describes it in the manifest, and `boxes` does it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kit import calibration
from kit.calibration import CalibrationSet, ModelInputs
from kit.comparison import Against, compare_tensors, describe_values
from kit.manifest.artifacts import Comparison
from kit.recipe import PICTURE_OPTIONS
from kit.registry import DETECTION
from kit.signature import Samples, Signature
from kit.tasks._pictures import choose_crops, list_pictures, refuse_training
from kit.tasks.answers import AnswerContext, SampleList, ShownAnswer
from kit.tasks.evaluation import EvaluationContext, EvaluationSet, Tally
from kit.tasks.interface import GoldenSet, Task

if TYPE_CHECKING:
    from torch import nn

    from kit.recipe import Recipe


class ObjectDetection(Task):
    """One picture in, scores and boxes out."""

    name = DETECTION
    summary = "a picture in, boxes with classes out"
    sample = "picture"
    options = frozenset(PICTURE_OPTIONS)
    threshold_names = frozenset({"sqnr_db", "max_abs", "cosine"})
    label_hint = (
        "no boxes were given, so there is no mAP; --labels FILE.json takes COCO's annotations, "
        "a folder YOLO's"
    )
    analyzable = True
    draws = True
    drop_metric = "mAP@50:95"
    label_place = "put COCO's annotations, a .json file, beside the pictures"
    measures_agreement = True

    def check_recipe(self, recipe: Recipe) -> None:
        """Refuse training."""
        refuse_training(recipe, self.name)

    def open_calibration(self, recipe: Recipe) -> CalibrationSet:
        """Return the recipe's pictures, or crops of sample photos."""
        return calibration.choose(recipe, (".json", ".txt"))

    def describe_inputs(self, recipe: Recipe) -> ModelInputs:
        """Return preprocessing, names of the classes, and how outputs become boxes."""
        from kit.tasks.object_detection.model import describe_detector

        return describe_detector(recipe)

    def identify(self, recipe: Recipe) -> str:
        """Return the digest of how outputs become boxes: anchors may come from any file."""
        import hashlib

        inputs = self.describe_inputs(recipe)
        assert inputs.detection is not None  # as `describe_inputs` returns it
        assert inputs.preprocessing is not None
        anchors = inputs.detection.anchors
        text = f"{inputs.detection.record.model_dump_json()} {inputs.preprocessing.fit}"
        content = b"" if anchors is None else anchors.tobytes()
        return hashlib.sha256(text.encode() + content).hexdigest()

    def adapt_network(self, model: nn.Module) -> nn.Module:
        """Let the network return scores and boxes, or both in one tensor."""
        from kit.tasks.object_detection.heads import adapt_outputs

        return adapt_outputs(model)

    def choose_golden(
        self, model: nn.Module, inputs: ModelInputs, calibration: CalibrationSet
    ) -> GoldenSet:
        """Return crops of sample photos, fewer if there are many boxes."""
        import numpy as np

        from kit.network import run_network

        (spec,) = inputs.specs
        empty = Samples(inputs.specs, (np.zeros(spec.shape, np.float32),))
        values = sum(spec.elements for spec in run_network(model, empty).specs)
        return choose_crops(model, inputs, *inputs.outputs, values=values)

    def compare(
        self,
        against: Against,
        right: Samples,
        other: Samples,
        thresholds: Mapping[str, float],
    ) -> tuple[Comparison, ...]:
        """Compare each output as the network gives it."""
        several = len(right.specs) > 1
        columns = zip(right.specs, right.arrays, other.arrays, strict=True)
        return tuple(
            compare_tensors(against, reference, answer, thresholds, spec.name if several else "")
            for spec, reference, answer in columns
        )

    def measure_agreement(self, reference: Samples, answers: Samples, inputs: ModelInputs) -> float:
        """Return the share of boxes that have a partner; 1 if neither model finds one."""
        from kit.tasks.object_detection.boxes import compute_match_share

        assert inputs.detection is not None  # as `describe_inputs` returns it
        assert inputs.preprocessing is not None
        sides = inputs.preprocessing.sides
        share = compute_match_share(reference, answers, inputs.detection, sides)
        return 1.0 if share is None else share

    def describe_answers(self, answers: Samples) -> str:
        """Return statistics of each output."""
        pairs = zip(answers.specs, answers.arrays, strict=True)
        return "; ".join(f"{spec.name}: {describe_values(array)}" for spec, array in pairs)

    def open_evaluation(
        self, context: EvaluationContext, source: Path, labels: Path | None, limit: int | None
    ) -> EvaluationSet:
        """Open a folder or zip of pictures, and COCO's or YOLO's annotations of them."""
        from kit.tasks.object_detection.evaluation import open_annotated

        return open_annotated(context, source, labels, limit)

    def open_samples(self, inputs: ModelInputs, source: Path) -> SampleList:
        """List one picture, or those of a folder or zip."""
        return list_pictures(inputs, source)

    def show_answer(self, answer: Samples, context: AnswerContext) -> ShownAnswer:
        """Return the most probable boxes, in pixels of the picture."""
        from kit.tasks.object_detection.showing import show_boxes

        return show_boxes(answer, context)

    def draw_answer(
        self, answer: Samples, sample: Samples, context: AnswerContext
    ) -> Mapping[str, bytes]:
        """Return the prepared picture with the boxes that are shown."""
        from kit.tasks.object_detection.showing import draw_boxes

        return draw_boxes(answer, sample, context)

    def start_tally(self, signature: Signature) -> Tally:
        """Return an empty tally of mAP, agreement of boxes, and SQNR of each output."""
        from kit.tasks.object_detection.tally import BoxesTally

        return BoxesTally(signature)


TASK = ObjectDetection()
