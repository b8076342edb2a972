"""Accuracy of a bundle: run every file in its runtime, and the float model, on real samples."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from kit import __version__, formats
from kit.artifact_key import FLOAT_MODEL, REFERENCE, ArtifactKey
from kit.bundles import loading
from kit.bundles.bundle import Bundle
from kit.devices import local
from kit.devices.fingerprint import identify
from kit.errors import RunError, UsageError
from kit.formats.isolated import IsolatedSession, open_session
from kit.notices import Notice, make_notice
from kit.progress import CountProgress
from kit.results.accuracy import AccuracyResult, AccuracyRow
from kit.results.store import describe, find_digest, find_runtime
from kit.signature import Samples, TensorSpec, group, resize_batch
from kit.tasks import get_task
from kit.tasks.evaluation import EvaluationContext, EvaluationSet, Tally
from kit.tasks.interface import Task, describe_bundle
from kit.workers import count_cores

CHUNK = 16  # samples in memory at a time
NO_LABELS = "none"


def evaluate(
    bundle: Bundle | str | Path,
    samples: str | Path,
    labels: str | Path | None = None,
    formats: Sequence[str] | None = None,
    limit: int | None = None,
    progress: CountProgress | None = None,
    batch: int = 1,
) -> AccuracyResult:
    """Compare the answers of every file of a bundle with labels and with the float model's.

    Samples that calibrated or trained the bundle are recognized by their contents and left out.
    Each sample is preprocessed once, and run by itself, as on a phone, unless `batch` is given.
    Each file runs in a process of its own.

    Args:
        bundle: a bundle or its folder.
        samples: folder or zip of the task's samples; for pictures see `kit.images.sets`.
        labels: CSV of `path,label`, or masks; see the task. ``none`` evaluates without labels; None
            takes them from the names of folders or files.
        formats: names of the bundle's formats or files; None takes all.
        limit: number of samples to evaluate, evenly spread over the set.
        progress: callback; takes the number of samples done and the total.
        batch: number of samples in each inference of a file; the float model takes one.

    Raises:
        BundleError: the bundle is broken, or has no such file.
        UsageError: the files do not take such a batch.
        UnknownName: there is no such format, or the bundle's task is not installed.
        SampleError: the set, a sample or a label cannot be used.
        RunError: a runtime answered with NaN or infinity, or crashed.
    """
    bundle = bundle if isinstance(bundle, Bundle) else loading.load_bundle(bundle)
    keys = _keys(bundle, formats)
    _check_batch(bundle, batch)
    labelled, path = str(labels) != NO_LABELS, None if labels is None else Path(labels)
    made_with = (bundle.manifest.calibration, bundle.manifest.training)
    seen = frozenset(d for record in made_with if record for d in record.pictures)
    context = EvaluationContext(describe_bundle(bundle), seen, labelled)
    task = get_task(bundle.manifest.task)
    chosen = task.open_evaluation(context, Path(samples), path if labelled else None, limit)
    return measure(bundle, keys, chosen, progress, batch)


def _describe_batch(batch: int) -> tuple[Notice, ...]:
    return (make_notice("accuracy.batch", samples=batch),) if batch > 1 else ()


def _check_batch(bundle: Bundle, batch: int) -> None:
    most = bundle.manifest.signature.max_batch
    if not 1 <= batch <= most:
        raise UsageError(
            f"--batch {batch}: the files of {bundle.path} take "
            + (f"1 to {most} samples at once" if most > 1 else "one sample at once"),
            f"build it with --dynamic batch=1..{max(batch, 2)}",
        )


def measure(
    bundle: Bundle,
    keys: Sequence[ArtifactKey],
    chosen: EvaluationSet,
    progress: CountProgress | None = None,
    batch: int = 1,
) -> AccuracyResult:
    """Compare the answers of a bundle's files with labels and the float model's.

    Args:
        bundle: to evaluate.
        keys: of its files.
        chosen: samples, from `kit.tasks.interface.Task.open_evaluation`.
        progress: callback; takes the number of samples done and the total.
        batch: number of samples in each inference of a file.

    Raises:
        SampleError: a sample cannot be used.
        RunError: a runtime answered with NaN or infinity, or crashed.
    """
    identity = identify(local.open(None).fingerprint)
    threads = count_cores()
    task = get_task(bundle.manifest.task)
    models = _run(bundle, task, keys, chosen, threads, progress, batch)
    return AccuracyResult(
        kit_version=__version__,
        created=datetime.now(UTC),
        identity=identity,
        bundle=describe(bundle),
        task=task.name,
        pictures=chosen.source,
        pictures_sha256=chosen.sha256,
        left_out=chosen.left_out,
        batch=batch,
        threads=threads,
        notices=(*chosen.notices, *_describe_batch(batch)),
        rows=tuple(_row(bundle, model, len(chosen)) for model in models),
    )


def _keys(bundle: Bundle, names: Sequence[str] | None) -> list[ArtifactKey]:
    """Return the files to run in addition to the reference, in the bundle's order."""
    loading.check_named([bundle], names or ())
    files = None if names is None else [name for name in names if name != REFERENCE]
    return bundle.manifest.select_runnable(files)


@dataclass
class _Model:
    """A file, its session, and the results so far; `ns` is the time of its inferences."""

    key: ArtifactKey
    session: IsolatedSession
    tally: Tally
    ns: int = 0


def _row(bundle: Bundle, model: _Model, count: int) -> AccuracyRow:
    key, name = model.key, model.key.name
    fields: dict[str, object] = {"top1": None, "top5": None, **model.tally.measure()}
    return AccuracyRow(
        **asdict(key),
        quantize="none" if key == FLOAT_MODEL else bundle.manifest.artifact(name).quantize,
        artifact_sha256=find_digest(bundle, name),
        runtime=f"{find_runtime(bundle, name)} {formats.get_format(key.format).read_version()}",
        images=count,
        images_per_second=count * 1e9 / model.ns,
        **fields,
    )


def _run(
    bundle: Bundle,
    task: Task,
    keys: Sequence[ArtifactKey],
    chosen: EvaluationSet,
    threads: int,
    progress: CountProgress | None,
    batch: int,
) -> list[_Model]:
    signature, chunk = bundle.manifest.signature, max(CHUNK, batch)
    with ExitStack() as stack:
        models = [
            _Model(
                key,
                stack.enter_context(open_session(key, bundle.file(key.name).resolve(), threads)),
                task.start_tally(signature),
            )
            for key in (FLOAT_MODEL, *keys)
        ]
        for start in range(0, len(chosen), chunk):
            samples, targets = chosen.load(start, start + chunk)
            reference = samples
            for model in models:
                if start == 0:
                    # Warm-up: the first inference packs weights.
                    _predict(model, samples.take([0]), signature.outputs)
                size = 1 if model.key == FLOAT_MODEL else batch
                answers, ns = _predict_batches(model, samples, signature.outputs, size)
                model.ns += ns
                if model.key == FLOAT_MODEL:
                    reference = answers
                model.tally.add(answers, reference, targets)
            if progress:
                progress(start + len(samples), len(chosen))
    return models


def _predict_batches(
    model: _Model, samples: Samples, outputs: tuple[TensorSpec, ...], size: int
) -> tuple[Samples, int]:
    """Return the answers and nanoseconds as `_predict`, of inferences of several samples each.

    The samples of a rest that fills no inference are run one by one.
    """
    count = len(samples) // size
    if size == 1 or count == 0:
        return _predict(model, samples, outputs)
    answers, ns = _predict(model, group(samples, size), resize_batch(outputs, size))
    arrays = tuple(array.reshape(-1, *array.shape[2:]) for array in answers.arrays)
    whole = Samples(outputs, arrays)
    if count * size == len(samples):
        return whole, ns
    rest, more = _predict(model, samples.take(slice(count * size, None)), outputs)
    joined = (np.concatenate(pair) for pair in zip(whole.arrays, rest.arrays, strict=True))
    return Samples(outputs, tuple(joined)), ns + more


def _predict(
    model: _Model, samples: Samples, outputs: tuple[TensorSpec, ...]
) -> tuple[Samples, int]:
    """Return finite answers and the nanoseconds of inference.

    Raises:
        RunError: the runtime fails, or its answers are not finite or have other shapes or dtypes.
    """
    hint = "build the bundle again"
    answers, ns = model.session.predict(samples)
    actual = [(spec.dtype, list(spec.shape)) for spec in answers.specs]
    expected = [(spec.dtype, list(spec.shape)) for spec in outputs]
    if actual != expected:
        raise RunError(
            f"{model.key.name} answers with {_show(actual)}, not {_show(expected)}", hint
        )
    if not answers.are_finite:
        raise RunError(f"{model.key.name} answered with NaN or infinity", hint)
    return Samples(outputs, answers.arrays), ns


def _show(tensors: Sequence[tuple[str, list[int]]]) -> str:
    return ", ".join(f"{dtype} {shape}" for dtype, shape in tensors)
