"""Lower every file in a child process."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kit import formats, lowering_job, signature, workers
from kit.algorithms import get_algorithm
from kit.artifact_key import REFERENCE, ArtifactKey
from kit.bundles.bundle import REFERENCE_FILE
from kit.errors import BuildError
from kit.forks.parent import Helper
from kit.model_source import find_source, split_reference
from kit.pipeline import _threads
from kit.pipeline._artifact_keys import choose_method
from kit.pipeline.build_state import Work
from kit.quantize.options import QUANTIZERS
from kit.recipe import Recipe, split_own_model
from kit.signature import Samples, TensorSpec
from kit.tasks.interface import GoldenSet
from kit.workers import ChildTask

if TYPE_CHECKING:
    from torch import nn
    from torch.fx import GraphModule

    from kit.quantize.examples import Examples

CHILD_BYTES = 3 * 2**30  # memory for lowering to ExecuTorch, rounded up
_IMPORTS = ("torch.export._trace", "kit.encodings", "kit.manifest.schema")


@dataclass(frozen=True)
class FileLowering:
    """The child process that lowers one file.

    Attributes:
        key: of the file.
        job: its `kit.lowering_job.LoweringJob`, as JSON.
        task: its command.
    """

    key: ArtifactKey
    job: Path
    task: ChildTask


class Lowering:
    """Children that lower, each to one file in the shared folder."""

    def __init__(self, work: Work, children: Sequence[FileLowering], pool: workers.Pool) -> None:
        self._work, self._children, self._pool = work, children, pool

    def wait(self) -> tuple[lowering_job.Lowered, ...]:
        """Return what was lowered, in the order of the recipe; record the rest as failures.

        Raises:
            KitError: an error that is not specific to a format, such as a full disk.
        """
        crashed = self._pool.wait(lambda name: self._work.progress(f"{name} lowered"))
        lowered = []
        for child in self._children:
            error = crashed.get(child.key.name)
            if error is None:
                try:
                    lowered.append(lowering_job.read_answer(child.job))
                    continue
                except BuildError as exc:
                    error = exc
            self._work.add_failure(child.key, "lowering", error)
        return tuple(lowered)


def open_helper(work: Work) -> Helper:
    """Return a process that imports the children's modules while this one calibrates."""
    at_once = workers.choose_width(len(work.artifact_keys), CHILD_BYTES)
    modules, log = list_imports(work.recipe), work.shared / "helper.log"
    return Helper(modules, log, list_environment(work.shared, at_once))


def list_imports(recipe: Recipe) -> tuple[str, ...]:
    """Return the modules that take long to import and that several children need.

    None of them starts a thread or computes anything as it is imported; see `kit.forks.server`.
    """
    modules = [*_IMPORTS, *_list_libraries(recipe)]
    calibrates = get_algorithm(recipe.quantize).calibrates
    for name in recipe.format_names:
        format_ = formats.get_format(name)
        modules += [*(QUANTIZERS[format_.flow] if calibrates else ()), *format_.imports]
    return tuple(dict.fromkeys(modules))


def _list_libraries(recipe: Recipe) -> tuple[str, ...]:
    """Return the library that builds the network; a user's model imports its own."""
    if reference := split_reference(recipe.model):
        return (find_source(reference.source).package,)
    return ("torchvision",) if split_own_model(recipe.model) is None else ()


@contextmanager
def start(
    work: Work,
    folded: GraphModule,
    golden: GoldenSet,
    calibration: Samples,
    helper: Helper,
) -> Iterator[Lowering]:
    """Start the children; leaving the block ends those that still run.

    Args:
        work: the build, whose shared folder gets the files.
        folded: the corrected float model.
        golden: inputs, and the float model's answers.
        calibration: samples.
        helper: see `open_helper`.
    """
    import torch

    shared = work.shared
    signature.save(golden.inputs, shared / lowering_job.GOLDEN)
    signature.save(calibration, shared / lowering_job.CALIBRATION)
    torch.save(folded.state_dict(), shared / lowering_job.FLOAT_STATE)
    if work.original:
        torch.save(work.original, shared / lowering_job.ORIGINAL_STATE)
    children = [make_child(work, key, golden.answers.specs) for key in work.artifact_keys]
    longest_first = sorted(
        children, key=lambda child: -formats.get_format(child.key.format).lowering_cost
    )
    at_once = workers.choose_width(len(children), CHILD_BYTES)
    tasks = [child.task for child in longest_first]
    with workers.Pool(tasks, at_once, list_environment(shared, at_once), helper.start) as pool:
        work.progress(f"lowering to {', '.join(child.key.name for child in children)}")
        yield Lowering(work, children, pool)


def export_reference(work: Work, model: nn.Module, example: Examples) -> None:
    """Write the float model into the shared folder, for comparisons on any machine.

    Raises:
        BuildError: it cannot be exported.
    """
    from kit.quantize.exporting import translate_errors

    with translate_errors(model):
        formats.get_format(REFERENCE).export(model, example.first(), work.shared / REFERENCE_FILE)


def list_environment(shared: Path, at_once: int) -> dict[str, str]:
    """Return variables of the children, in addition to this process's environment.

    Without a number of threads of the user's own, the children share the cores.
    """
    threads = _threads.read_thread_limit() or max(1, workers.count_cores() // at_once)
    return {
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "passive",
        "OPENBLAS_NUM_THREADS": "1",  # else it starts threads on import; see `kit.forks.server`
        # Temporary files of their libraries are removed with ours.
        "TMPDIR": str(shared),
    }


def make_child(work: Work, key: ArtifactKey, outputs: tuple[TensorSpec, ...]) -> FileLowering:
    """Write the job of a file, and return the command that does it."""
    name = key.name
    job = lowering_job.LoweringJob(
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
        preprocessing=work.inputs.preprocessing,
        labels=work.inputs.labels,
        scores=work.scores,
        threads=1,
        probes=work.probes,
    )
    file = work.shared / f"{name}.json"
    file.write_text(job.model_dump_json(), encoding="utf-8")
    command = [sys.executable, "-m", "kit.lower", str(file)]
    return FileLowering(key, file, ChildTask(name, command, work.shared / f"{name}.log"))
