"""The steps of a build, in order, from the recipe to the files of the bundle.

Steps record their results in `kit.pipeline.build_state.Work`, from which the manifest is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kit import formats
from kit.algorithms import get_algorithm
from kit.calibration import CalibrationSet
from kit.files import temporary
from kit.manifest.artifacts import FailedArtifact
from kit.notices import Notice, make_notice
from kit.pipeline import _finish, _model, _prepare, _sizes, _threads, lowering, parity
from kit.pipeline._artifact_keys import FLOAT_METHOD, choose_method, find_method
from kit.pipeline.build_state import Preparation, Work
from kit.progress import ReportStatus
from kit.quantize.distributed import Group
from kit.recipe import Recipe
from kit.tasks import get_task


def make_bundle(
    recipe: Recipe,
    cache_key: str,
    calibration: CalibrationSet,
    folder: Path,
    progress: ReportStatus,
    all_or_nothing: bool,
) -> tuple[FailedArtifact, ...]:
    """Build, lower and verify a model, and write a bundle into an empty folder.

    Args:
        recipe: of the build, already checked.
        cache_key: of the build.
        calibration: the calibration set.
        folder: of the bundle.
        progress: called with the name of each stage as it begins.
        all_or_nothing: raise an error if one file fails.

    Returns:
        The files that failed, if others passed.

    Raises:
        BuildError: no file can be made, or one cannot and `all_or_nothing` is set.
        VerificationFailed: the same for files with wrong answers.
    """
    with (
        open_preparation(recipe, cache_key, calibration, progress) as preparation,
        temporary.make_folder() as shared,
    ):
        from kit.quantize.examples import from_samples

        work = Work(
            **vars(preparation), folder=folder, shared=shared, all_or_nothing=all_or_nothing
        )
        work.notices += _note_ended_formats(recipe)
        with lowering.open_helper(work) as helper:
            model = _model.load(work)
            samples = work.task.load_calibration(model, work.inputs, calibration)
            varying = recipe.varying
            examples = from_samples(samples, work.inputs.at_once, varying)
            folded = _prepare.fold_model(work, model, examples)
            progress("choosing golden and calibration pictures")
            golden = work.task.choose_golden(model, work.inputs, calibration)
            work.scores = work.task.describe_scores(golden.answers)
            natural = from_samples(golden.inputs, work.inputs.at_once, varying)
            _sizes.check_sizes(work, model, folded, golden)

            _prepare.correct_and_train(work, model, folded, examples)
            work.notices += _note_quantized_layers(work)
            _prepare.choose_encodings(work, model, folded, examples)
            with lowering.start(work, folded, golden, samples, helper) as children:
                # This process has time for these while its children lower.
                lowering.export_reference(work, model, natural)
                _prepare.check_calibration(work, folded, examples, natural)
                lowered = children.wait()
            artifacts = parity.verify_all(work, lowered, golden)
            return _finish.write(work, golden, lowered, artifacts)


def _note_ended_formats(recipe: Recipe) -> Iterator[Notice]:
    for name in recipe.format_names:
        ended = formats.get_format(name).ended
        if ended is not None:
            values = {"reason": ended.reason, "successor": ended.successor}
            yield make_notice("format.ended", format=name, **values)


def _note_quantized_layers(work: Work) -> Iterator[Notice]:
    """Name the files that quantize layers which the recipe keeps in float."""
    recipe = work.recipe
    methods = {key.name: choose_method(recipe, key) for key in work.artifact_keys}
    files = tuple(
        name
        for name, method in methods.items()
        if method != FLOAT_METHOD and not get_algorithm(method).keeps_layers
    )
    # What the build itself chose is what static int8 hurts, and these files have no such ranges.
    if work.kept_float and files and not recipe.keeps_automatically:
        yield make_notice("float.disregarded", files=files, layers=work.kept_float)


def train_along(recipe: Recipe, cache_key: str, calibration: CalibrationSet, group: Group) -> None:
    """Take part in rank 0's training, and wait until it has written the bundle."""
    cached: bool = group.broadcast(None)
    if not cached and find_method(recipe).trains:
        with open_preparation(recipe, cache_key, calibration, report_nothing) as work:
            from kit.quantize.examples import from_samples

            model = _model.load(work)
            samples = calibration.load(work.inputs)
            _prepare.prepare(
                work, model, from_samples(samples, work.inputs.at_once, recipe.varying)
            )
    group.broadcast(None)


@contextmanager
def open_preparation(
    recipe: Recipe, cache_key: str, calibration: CalibrationSet, progress: ReportStatus
) -> Iterator[Preparation]:
    """Yield the state of a build before its first step; torch uses this machine's threads."""
    progress("loading PyTorch and the weights")
    task = get_task(recipe.task)
    with _threads.use_all_cores():
        yield Preparation(
            recipe=recipe,
            cache_key=cache_key,
            task=task,
            pictures=calibration,
            progress=progress,
            inputs=task.describe_inputs(recipe),
        )


def report_nothing(stage: str) -> None:
    """Report no progress: only rank 0 does."""
