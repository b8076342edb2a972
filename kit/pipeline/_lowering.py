"""Lower every format in a child process, and compare what comes back."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kit import formats, golden, lower, verify, workers
from kit.bundle import REFERENCE, REFERENCE_FILE
from kit.manifest import Artifact, Comparison
from kit.pipeline import _finish, _prepare
from kit.pipeline._work import Work
from kit.recipe import Recipe

if TYPE_CHECKING:
    from torch import nn

    from kit.pipeline._work import Array

CHILD_BYTES = 3 * 2**30  # what lowering to ExecuTorch takes, rounded up

# A quantized model must still give the float model's answers on the golden pictures;
# the calibrated ranges are judged apart, by `kit.quantize._coverage`.
AGAINST_FLOAT = {"agreement": 0.6, "sqnr_db": 5.0}
FLOAT_AGAINST_FLOAT = {"agreement": 0.99, "sqnr_db": 40.0}

# An untrained network's answers are near ties, and one value rounded the other way in its
# first layer becomes a third of its signal.
UNTRAINED = {"sqnr_db": 3.0}


def lower_all(work: Work, model: nn.Module) -> None:
    """Lower every format; meanwhile make the reference and check the calibration.

    Raises:
        BuildError: a format cannot be made.
        VerificationFailed: it was made and computes something else.
    """
    import numpy as np
    import torch

    from kit.quantize._export import errors_of

    shared = work.shared
    inputs, reference = golden.choose(model, work.preprocessing)
    images = work.pictures.load(work.preprocessing)
    folded = _prepare.prepare(work, model, images)
    _prepare.search_ranges(work, folded, images)
    np.save(shared / lower.GOLDEN, inputs)
    np.save(shared / lower.CALIBRATION, images)
    torch.save(folded.state_dict(), shared / lower.FLOAT_STATE)
    tasks, jobs = children(work)
    at_once = workers.width(len(tasks), CHILD_BYTES)
    threads = str(max(1, (os.cpu_count() or 1) // at_once))
    environment = {"OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "passive"}
    with workers.Pool(tasks, at_once, environment) as pool:
        work.progress(f"lowering to {', '.join(work.recipe.formats)}")
        with errors_of(model):
            example = torch.from_numpy(inputs[:1])
            formats.get(REFERENCE).export(model, example, shared / REFERENCE_FILE)
        _prepare.check_calibration(work, folded, images, inputs)
        pool.wait(lambda name: work.progress(f"{name} lowered"))
    answers = [lower.read_answer(job) for job in jobs]
    for file in (REFERENCE_FILE, *(a.artifact.file for a in answers)):
        # torch's own writers report a full disk as an internal error, a copy says what it is
        shutil.copyfile(shared / file, work.folder / file)
    work.progress("verifying")
    artifacts = [_verified(work, a.artifact, reference) for a in answers]
    qconfig = {a.artifact.format: a.qconfig for a in answers}
    _finish.write(work, inputs, reference, artifacts, qconfig)


def children(work: Work) -> tuple[list[workers.Task], list[Path]]:
    """Return the children's commands, longest first, and their job files in recipe order."""
    tasks, jobs = [], []
    for name in work.recipe.formats:
        file = work.shared / f"{name}.json"
        job = lower.Job(
            format=name,
            recipe=work.recipe,
            classes=work.classes,
            shared=work.shared,
            output_margin=work.pictures.output_margin,
            keep_float=work.kept_float,
            ranges=work.ranges,
            threads=1,
        )
        file.write_text(job.model_dump_json(), encoding="utf-8")
        command = [sys.executable, "-m", "kit.lower", str(file)]
        tasks.append(workers.Task(name, command, work.shared / f"{name}.log"))
        jobs.append(file)
    tasks.sort(key=lambda task: task.name != "executorch")
    return tasks, jobs


def _verified(work: Work, artifact: Artifact, reference: Array) -> Artifact:
    """Compare the runtime with its graph and with the float model.

    Raises:
        VerificationFailed: with both sides' statistics.
    """
    import numpy as np

    info = formats.get(artifact.format).INFO
    graph = np.load(work.shared / f"{artifact.format}.graph.npy")
    runtime = np.load(work.shared / f"{artifact.format}.runtime.npy")
    exact = {"max_abs": 0.0} if info.exact and artifact.quantize != "none" else {}
    near = {"agreement": info.graph.agreement, "sqnr_db": info.graph.sqnr_db}
    if work.recipe.weights == "random":
        near = UNTRAINED
    comparisons: list[Comparison] = []
    for against, right, limits in (
        ("quantized graph", graph, exact or near),
        ("float reference", reference, _against_float(work.recipe)),
    ):
        found = verify.compare(against, right, runtime, limits)  # type: ignore[arg-type]
        verify.require(artifact.format, found, right, runtime)
        comparisons.append(found)
    (work.folder / "golden").mkdir(exist_ok=True)
    np.save(work.folder / "golden" / f"{artifact.format}.npy", runtime)
    return artifact.model_copy(update={"parity": tuple(comparisons)})


def _against_float(recipe: Recipe) -> dict[str, float]:
    if recipe.weights == "random":
        return {}  # all answers of an untrained network are near ties
    return FLOAT_AGAINST_FLOAT if recipe.quantize == "none" else AGAINST_FLOAT
