"""Task of any model: ``.npz`` samples in, tensors out, compared with the float model's."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kit import models
from kit.calibration import CalibrationSet, ModelInputs
from kit.comparison import Against, compare_tensors, describe_values
from kit.documents import decode_name
from kit.errors import RecipeError, SampleError, UsageError
from kit.manifest.artifacts import Comparison
from kit.network import run_network, run_sequences
from kit.signature import Samples, Signature
from kit.tasks.answers import SampleList
from kit.tasks.evaluation import EvaluationContext, EvaluationSet, Tally
from kit.tasks.interface import GoldenSet, Task

if TYPE_CHECKING:
    from torch import nn

    from kit.recipe import Recipe

_GOLDEN = 16  # samples
_NO_USE = ("labels", "mean", "std", "train")


class TensorTask(Task):
    """Any number of inputs and outputs of any dtype."""

    name = "tensors"
    summary = "any model: .npz samples in, tensors out"
    threshold_names = frozenset({"sqnr_db", "max_abs", "cosine"})
    options = frozenset({"state"})

    def check_recipe(self, recipe: Recipe) -> None:
        """Require samples, and refuse options for pictures or classes."""
        if recipe.calibrate is None:
            raise RecipeError(
                "the task tensors needs samples, which show what the model takes",
                "give --calibrate a folder of .npz files, or one such file",
            )
        for name in _NO_USE:
            if getattr(recipe, name) is not None:
                raise RecipeError(
                    f"{name} = {getattr(recipe, name)!r} does nothing with the task tensors",
                    "leave it out, or use --task image-classification",
                )
        if recipe.quantize == "qat":
            raise RecipeError(
                "quantize = 'qat' trains with pictures, and the task tensors has none",
                "use --quantize static",
            )

    def open_calibration(self, recipe: Recipe) -> CalibrationSet:
        """Return samples of the recipe's folder, drawn at random."""
        from kit.tasks.tensors.samples import open_calibration

        self.check_recipe(recipe)
        assert recipe.calibrate is not None  # just checked
        return open_calibration(Path(recipe.calibrate), recipe.calibration_images, recipe.seed)

    def describe_inputs(self, recipe: Recipe) -> ModelInputs:
        """Return the specs of the first sample, and the names of the outputs."""
        from kit.tasks.tensors.model import describe_model

        self.check_recipe(recipe)
        assert recipe.calibrate is not None  # just checked
        return describe_model(models.get_model(recipe.model), recipe, Path(recipe.calibrate))

    def load_calibration(
        self, model: nn.Module, inputs: ModelInputs, calibration: CalibrationSet
    ) -> Samples:
        """Read the samples; each inference of sequences, with the float model's own states."""
        from kit.tasks.tensors.samples import TensorCalibration
        from kit.tasks.tensors.sequences import read_sequences

        assert isinstance(calibration, TensorCalibration)  # as `open_calibration` returns it
        if not inputs.feedback:
            return calibration.load(inputs)
        return run_sequences(model, read_sequences(calibration.chosen, inputs))[0]

    def choose_golden(
        self, model: nn.Module, inputs: ModelInputs, calibration: CalibrationSet
    ) -> GoldenSet:
        """Return samples that did not calibrate; calibration samples if there are no others.

        Of sequences, inferences in the middle as well, with the float model's own states.
        """
        from kit.tasks.tensors.samples import TensorCalibration, read_samples
        from kit.tasks.tensors.sequences import read_sequences

        assert isinstance(calibration, TensorCalibration)  # as `open_calibration` returns it
        pool = calibration.rest or calibration.chosen
        count = min(_GOLDEN, len(pool))
        chosen = [pool[i * len(pool) // count] for i in range(count)]
        if inputs.feedback:
            steps, answers = run_sequences(model, read_sequences(chosen, inputs), inputs.outputs)
            rows = [i * len(steps) // _GOLDEN for i in range(_GOLDEN)]
            rows = list(dict.fromkeys(rows))
            return GoldenSet(calibration.source, steps.take(rows), answers.take(rows))
        samples = read_samples(chosen, inputs)
        return GoldenSet(calibration.source, samples, run_network(model, samples, inputs.outputs))

    def compare(
        self,
        against: Against,
        right: Samples,
        other: Samples,
        thresholds: Mapping[str, float],
    ) -> tuple[Comparison, ...]:
        """Compare each output."""
        several = len(right.specs) > 1
        columns = zip(right.specs, right.arrays, other.arrays, strict=True)
        return tuple(
            compare_tensors(against, reference, answer, thresholds, spec.name if several else "")
            for spec, reference, answer in columns
        )

    def describe_answers(self, answers: Samples) -> str:
        """Return statistics of each output."""
        pairs = zip(answers.specs, answers.arrays, strict=True)
        return "; ".join(f"{spec.name}: {describe_values(array)}" for spec, array in pairs)

    def open_evaluation(
        self, context: EvaluationContext, source: Path, labels: Path | None, limit: int | None
    ) -> EvaluationSet:
        """Open a folder of samples."""
        from kit.tasks.tensors.samples import TensorSet, list_samples

        if labels is not None:
            raise UsageError(
                "the task tensors has no labels: answers are compared with the float model's",
                "leave out --labels",
            )
        if limit is not None and limit < 1:
            raise UsageError(f"the limit {limit} leaves no sample", "use 1 or more")
        digests = [(sample, sample.digest()) for sample in list_samples(source)]
        unseen = [pair for pair in digests if pair[1] not in context.seen]
        if not unseen:
            raise SampleError(
                f"every sample of {source} calibrated this bundle",
                "evaluate on other samples, or build with fewer --calibration-images",
            )
        left_out, total = len(digests) - len(unseen), len(unseen)
        if limit is not None and limit < total:
            unseen = [unseen[i * total // limit] for i in range(limit)]
        digest = hashlib.sha256("\n".join(d for _, d in unseen).encode()).hexdigest()
        chosen = tuple(sample for sample, _ in unseen)
        name = decode_name(source.resolve().name)
        return TensorSet(name, digest, left_out, (), chosen, context.inputs)

    def open_samples(self, inputs: ModelInputs, source: Path) -> SampleList:
        """List one sample, or those of a folder; of sequences the first inference of each."""
        from kit.tasks.tensors.samples import list_samples, read_samples
        from kit.tasks.tensors.sequences import read_sequences

        samples = list_samples(source)
        names = [sample.name for sample in samples]
        if inputs.feedback:
            return SampleList(
                names, lambda index: read_sequences([samples[index]], inputs).take([0])
            )
        return SampleList(names, lambda index: read_samples([samples[index]], inputs))

    def start_tally(self, signature: Signature) -> Tally:
        """Return an empty tally of SQNR, largest difference and cosine."""
        from kit.tasks.tensors.tally import TensorsTally

        return TensorsTally(signature)


TASK = TensorTask()
