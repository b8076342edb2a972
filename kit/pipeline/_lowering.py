"""Lower every file in a child process, and verify the results."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kit import forks, formats, lower, signature, workers
from kit.artifact_key import REFERENCE
from kit.bundle import REFERENCE_FILE
from kit.errors import BuildError, VerificationFailed
from kit.manifest import Artifact, FailedArtifact
from kit.pipeline import _finish, _parity, _prepare
from kit.pipeline._artifact_keys import choose_method
from kit.pipeline._work import Work
from kit.signature import TensorSpec
from kit.tasks.interface import GoldenSet

if TYPE_CHECKING:
    from torch import nn

MAX_REASON = 5_000  # characters
CHILD_BYTES = 3 * 2**30  # memory for lowering to ExecuTorch, rounded up


def open_helper(work: Work) -> forks.Helper:
    """Return a process that imports the children's modules while this one calibrates."""
    at_once = workers.width(len(work.artifact_keys), CHILD_BYTES)
    modules, log = lower.list_imports(work.recipe), work.shared / "helper.log"
    return forks.Helper(modules, log, list_environment(work.shared, at_once))


def lower_all(work: Work, model: nn.Module, helper: forks.Helper) -> tuple[FailedArtifact, ...]:
    """Lower every file; meanwhile export the reference and check the calibration.

    Args:
        work: the build.
        model: float.
        helper: see `open_helper`.

    Returns:
        The failed files, if others passed.

    Raises:
        BuildError: no file can be made, or one cannot and `all_or_nothing` is set.
        VerificationFailed: the same for files with wrong answers.
    """
    import torch

    from kit.quantize.examples import from_samples
    from kit.quantize.exporting import errors_of

    shared = work.shared
    golden = work.task.choose_golden(model, work.inputs, work.pictures)
    samples = work.pictures.load(work.inputs)
    examples = from_samples(samples, work.inputs.at_once)
    natural = from_samples(golden.inputs, work.inputs.at_once)
    folded = _prepare.prepare(work, model, examples)
    _prepare.choose_encodings(work, folded, examples)
    signature.save(golden.inputs, shared / lower.GOLDEN)
    signature.save(samples, shared / lower.CALIBRATION)
    torch.save(folded.state_dict(), shared / lower.FLOAT_STATE)
    if work.original:
        torch.save(work.original, shared / lower.ORIGINAL_STATE)
    tasks, jobs = children(work, golden.answers.specs)
    at_once = workers.width(len(tasks), CHILD_BYTES)
    with workers.Pool(tasks, at_once, list_environment(work.shared, at_once), helper.start) as pool:
        work.progress(f"lowering to {', '.join(jobs)}")
        with errors_of(model):
            formats.get_format(REFERENCE).export(model, natural.first(), shared / REFERENCE_FILE)
        _prepare.check_calibration(work, folded, examples, natural)
        crashed = pool.wait(lambda name: work.progress(f"{name} lowered"))
    made, failed = _collect(jobs, crashed)
    work.progress("verifying")
    artifacts, wrong = _verify_all(work, made, golden)
    errors = {**failed, **wrong}
    if errors and (work.all_or_nothing or not artifacts):
        raise next(errors[name] for name in jobs if name in errors)
    for file in (REFERENCE_FILE, *(a.file for a in artifacts)):
        # torch's own writers report a full disk as an internal error; copying reports it as such
        shutil.copyfile(shared / file, work.folder / file)
    qconfig = {one.artifact.name: one.qconfig for one in made}
    failures = tuple(
        FailedArtifact.of(
            key,
            stage="verification" if key.name in wrong else "lowering",
            reason=errors[key.name].message[:MAX_REASON],
            hint=errors[key.name].hint[:MAX_REASON],
        )
        for key in work.artifact_keys
        if key.name in errors
    )
    _finish.write(work, golden, artifacts, qconfig, failures)
    return failures


def list_environment(shared: Path, at_once: int) -> dict[str, str]:
    """Return variables of the children, in addition to this process's environment."""
    return {
        "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // at_once)),
        "OMP_WAIT_POLICY": "passive",
        "OPENBLAS_NUM_THREADS": "1",  # else it starts threads on import; see `kit.forks`
        # Temporary files of their libraries are removed with ours.
        "TMPDIR": str(shared),
    }


def children(
    work: Work, outputs: tuple[TensorSpec, ...]
) -> tuple[list[workers.ChildTask], dict[str, Path]]:
    """Return the children's commands, longest first, and job files by name, in recipe order."""
    tasks, jobs, costs = [], {}, {}
    for key in work.artifact_keys:
        name = key.name
        file = work.shared / f"{name}.json"
        job = lower.LoweringJob(
            key=key,
            quantize=choose_method(work.recipe, key),
            recipe=work.recipe,
            classes=work.inputs.classes,
            inputs=work.inputs.specs,
            at_once=work.inputs.at_once,
            outputs=outputs,
            shared=work.shared,
            output_margin=work.pictures.output_margin,
            keep_float=work.kept_float,
            encodings=work.encodings,
            threads=1,
        )
        file.write_text(job.model_dump_json(), encoding="utf-8")
        command = [sys.executable, "-m", "kit.lower", str(file)]
        tasks.append(workers.ChildTask(name, command, work.shared / f"{name}.log"))
        jobs[name] = file
        costs[name] = formats.get_format(key.format).lowering_cost
    tasks.sort(key=lambda task: -costs[task.name])
    return tasks, jobs


def _collect(
    jobs: dict[str, Path], errors: dict[str, BuildError]
) -> tuple[list[lower.Lowered], dict[str, BuildError]]:
    """Return the children's results, in the order of the jobs, and the errors of the others.

    Raises:
        KitError: an error that is not specific to a format, such as a full disk.
    """
    made, failed = [], dict(errors)
    for name, job in jobs.items():
        if name not in errors:
            try:
                made.append(lower.read_answer(job))
            except BuildError as exc:
                failed[name] = exc
    return made, failed


def _verify_all(
    work: Work, made: list[lower.Lowered], golden: GoldenSet
) -> tuple[list[Artifact], dict[str, BuildError]]:
    artifacts: list[Artifact] = []
    failed: dict[str, BuildError] = {}
    for one in made:
        try:
            artifacts.append(_parity.verify_artifact(work, one.artifact, golden))
        except VerificationFailed as exc:
            failed[one.artifact.name] = exc
    return artifacts, failed
