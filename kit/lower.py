"""One file of one bundle: quantize, lower, describe, and run it on the golden input.

Runs as a child process (`python -m kit.lower JOB.json`), so that files are lowered in
parallel, a runtime that aborts takes only its own process with it, and each package's
threads and global settings stay apart.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kit
from kit import formats, models, signature, size_checks, workers
from kit.algorithms import get_algorithm
from kit.error_text import format_message
from kit.errors import (
    BuildError,
    InputError,
    KitError,
    MissingTool,
    UsageError,
    VerificationFailed,
    WeightsError,
    describe_failure,
    name_kind,
)
from kit.formats.interface import Format, predict
from kit.formats.model_card import ModelCard
from kit.formats.properties import Description
from kit.garbage import pause_collection
from kit.lowering_job import (
    CALIBRATION,
    FLOAT_STATE,
    GOLDEN,
    GRAPH,
    ORIGINAL_STATE,
    RUNTIME,
    Lowered,
    LoweringJob,
    name_answer,
)
from kit.manifest.artifacts import Artifact, Runtime
from kit.network import run_network
from kit.precisions import get_precision
from kit.precisions.interface import CandidateRequest
from kit.quantize.options import Options, Quantized
from kit.signature import Samples
from kit.tasks import get_task

if TYPE_CHECKING:
    from torch import nn
    from torch.fx import GraphModule

    from kit.quantize.examples import Examples


def lower(job: LoweringJob) -> Lowered:
    """Make one file.

    Raises:
        BuildError: the model has something that cannot be quantized or lowered.
    """
    import torch

    from kit.quantize.examples import from_samples

    torch.set_num_threads(job.threads)
    format_ = formats.get_format(job.key.format)
    exporter = format_.find_backend(job.key.backend)
    golden = signature.load(job.inputs, job.shared / GOLDEN)
    varying = job.recipe.varying
    natural = from_samples(golden, job.at_once, varying)
    model = _float_model(job, natural)
    examples = from_samples(signature.load(job.inputs, job.shared / CALIBRATION), job.at_once)
    file = job.shared / format_.name_file(job.key)
    with _errors(job, "quantized", natural):
        request = CandidateRequest(
            get_algorithm(job.quantize),
            exporter.flow,
            examples,
            _options(job),
            job.inputs,
            job.outputs,
        )
        quantized = get_precision(job.key.precision).make_candidate(model, request)
        torch.backends.quantized.engine = "qnnpack"
        graph = _run_graph(quantized.graph, golden, job)
    with _errors(job, "lowered", natural):
        if varying:
            format_.export_varying(quantized.graph, natural.first(), varying, file)
        else:
            exporter.export(quantized.graph, natural.first(), file)
        format_.annotate(file, _make_card(job))
    if exporter.runs_here:
        with _errors(job, "run", natural):
            runtime = _run_file(format_, file, job, golden)
            if varying:
                session = format_.load(file, job.threads)
                if job.recipe.max_batch > 1:
                    size_checks.check_batches(session, golden, runtime, job)
                size_checks.check_sizes(session, quantized.graph, (graph, runtime), job, format_)
        signature.save(runtime, job.shared / RUNTIME.format(name=job.key.name))
    signature.save(graph, job.shared / GRAPH.format(name=job.key.name))
    return Lowered(artifact=_artifact(job, file, quantized), qconfig=quantized.qconfig)


def _run_graph(graph: GraphModule, golden: Samples, job: LoweringJob) -> Samples:
    """Return the graph's answers, in PyTorch.

    Raises:
        BuildError: the precision's numbers overflow.
        WeightsError: an answer is not a finite number, in another precision.
    """
    try:
        return run_network(graph, golden, [spec.name for spec in job.outputs])
    except WeightsError as exc:
        largest = get_precision(job.key.precision).largest
        if not largest:
            raise
        raise BuildError(
            f"values exceed the range of {largest}",
            f"leave {job.key.precision} out of --precision, or scale the inputs or weights",
        ) from exc


def _run_file(format_: Format, file: Path, job: LoweringJob, golden: Samples) -> Samples:
    """Return the runtime's answers.

    Raises:
        BuildError: they are of other shapes than the float model's.
    """
    answers = predict(format_.load(file, job.threads), golden)
    shapes, expected = (
        ", ".join(f"{s.dtype} {list(s.shape)}" for s in specs)
        for specs in (answers.specs, job.outputs)
    )
    if shapes != expected:
        raise BuildError(
            f"{job.key.name} answers with {shapes}, and the model with {expected}",
            "leave the format out with --format, and please report it",
        )
    return Samples(job.outputs, answers.arrays)


def _make_card(job: LoweringJob) -> ModelCard:
    method = "" if job.quantize == "none" else f" ({job.quantize})"
    precision = f"{job.key.precision}{method}"
    return ModelCard(
        name=job.recipe.title,
        description=f"{job.recipe.task}, {precision}, written by kit {kit.__version__}",
        inputs=job.inputs,
        outputs=job.outputs,
        preprocessing=job.preprocessing,
        labels=job.labels,
        scores=job.scores,
    )


def _options(job: LoweringJob) -> Options:
    recipe = job.recipe
    return Options(
        recipe.granularity,
        job.output_margin,
        recipe.observer,
        job.keep_float,
        job.encodings,
        varying=recipe.varying,
    )


def _artifact(job: LoweringJob, file: Path, quantized: Quantized) -> Artifact:
    """Describe a model file by what is in it."""
    format_ = formats.get_format(job.key.format)
    description = format_.describe(file)
    return Artifact(
        format=job.key.format,
        backend=job.key.backend,
        precision=job.key.precision,
        file=file.name,
        quantize=job.quantize,
        executed=format_.find_backend(job.key.backend).runs_here,
        runtime=Runtime(name=format_.runtime, version=format_.read_version()),
        format_version=description.format_version,
        operators=description.operators,
        delegates=description.delegates,
        not_delegated=description.not_delegated,
        computed_in_float=_computed_in_float(quantized, description),
    )


def _computed_in_float(quantized: Quantized, description: Description) -> dict[str, int]:
    if quantized.computed_in_float is not None:
        return quantized.computed_in_float
    return description.computed_in_float if quantized.integer else {}


@contextmanager
def _errors(job: LoweringJob, done: str, examples: Examples) -> Iterator[None]:
    """Translate errors, naming the file and, if known, the operator.

    Raises:
        BuildError: torch, torchao, an exporter or a runtime raised an error.
    """
    from kit.quantize.exporting import locate_operator

    try:
        yield
    except (OSError, InputError, UsageError, VerificationFailed, MissingTool):
        raise
    except Exception as exc:  # exporters and runtimes raise various errors
        place = locate_operator(_own_model(job), examples, _words(exc))
        reason = (format_message(exc) or type(exc).__name__).splitlines()[0][:300]
        what = f"{place} of {job.recipe.model}" if place else job.recipe.model
        raise BuildError(
            f"{what} cannot be {done} for {job.key.name}: {reason}",
            (exc.hint if isinstance(exc, BuildError) else "")
            or "leave the format out with --format, or replace the operator",
        ) from exc


def _words(exc: BaseException | None) -> str:
    """Return all that an error and those that caused it say."""
    return (
        "" if exc is None else f"{format_message(exc)}\n{_words(exc.__cause__ or exc.__context__)}"
    )


def _own_model(job: LoweringJob) -> nn.Module:
    built = models.get_model(job.recipe.model).build(job.recipe.width, job.classes)
    return get_task(job.recipe.task).adapt_network(built)


def _float_model(job: LoweringJob, examples: Examples) -> GraphModule:
    """Rebuild the float model: its structure from the recipe, its numbers from the parent."""
    import torch

    from kit.quantize.graph import fold

    model = fold(_own_model(job), examples)
    original = job.shared / ORIGINAL_STATE
    prepared = job.quantize == job.recipe.quantize or get_precision(job.key.precision).prepared
    uncorrected = not prepared and original.exists()
    state = original if uncorrected else job.shared / FLOAT_STATE
    model.load_state_dict(torch.load(state, weights_only=True))
    return model


def main(job_file: Path) -> int:
    """Do a job and write the answer, or the error, next to it."""
    job = LoweringJob.model_validate_json(job_file.read_text(encoding="utf-8"))
    answer: dict[str, Any]
    try:
        # What this process leaves to the collector is given back when it ends, a moment later.
        with models.guard_network(job.recipe.model), pause_collection():
            answer = {"lowered": lower(job).model_dump(mode="json")}
    except OSError as exc:
        where, why = exc.filename or job.shared, describe_failure(exc)
        hint = "make space there, or set TMPDIR to a folder that has some"
        answer = {"error": ["OutputError", f"cannot write {where}: {why}", hint]}
    except KitError as exc:
        answer = {"error": [name_kind(exc), exc.message, exc.hint]}
    name_answer(job_file).write_text(json.dumps(answer), encoding="utf-8")
    return 0


if __name__ == "__main__":
    workers.end_with_parent()
    sys.exit(main(Path(sys.argv[1])))
