"""One file on one processor: its answers to the golden inputs, and how they compare."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from kit.bundles.bundle import Bundle
from kit.comparison import Against
from kit.devices import local
from kit.errors import RunError
from kit.manifest.artifacts import Artifact, Comparison
from kit.results import store
from kit.results.processors import ProcessorRow
from kit.runners import drive, emulation, native
from kit.runners.emulation import Processor
from kit.runners.protocol import Request
from kit.signature import Samples, format_specs, unpack
from kit.tasks import get_task

HOST = "host"
SILENCE_SECONDS = 900.0  # an inference may take a minute on an emulated processor


@dataclass(frozen=True)
class GoldenAnswers:
    """Golden inputs, and the float model's answers to them."""

    inputs: Samples
    reference: Samples


Runners = dict[tuple[str, str], native.RunnerSet]


@dataclass(frozen=True)
class ProcessorCheck:
    """Verification of one artifact.

    Attributes:
        work: folder for the files of runners.
    """

    bundle: Bundle
    artifact: Artifact
    golden: GoldenAnswers
    work: Path

    def measure(self, processor: Processor | None, runners: Runners) -> ProcessorRow:
        """Run the file on a processor and compare; the row fails if the runner fails."""
        row = ProcessorRow(
            **asdict(self.artifact.key),
            quantize=self.artifact.quantize,
            artifact_sha256=store.find_digest(self.bundle, self.artifact.name),
            processor=processor.name if processor else HOST,
            runtime=self.artifact.runtime.name,
            images=len(self.golden.inputs),
            passed=False,
        )
        try:
            runtime, answers = self._answer(processor, runners)
        except RunError as exc:
            return row.model_copy(update={"error": exc.message})
        if not answers.are_finite:
            error = "it answered with numbers that are not finite"
            return row.model_copy(update={"runtime": runtime, "error": error})
        comparisons = self._compare(answers)
        return row.model_copy(
            update={
                "runtime": runtime,
                "parity": tuple(store.refer(comparison) for comparison in comparisons),
                "golden_max_abs": self._golden_max_abs(answers),
                "answers_sha256": hashlib.sha256(answers.pack()).hexdigest(),
                "passed": all(comparison.passed for comparison in comparisons),
            }
        )

    def _answer(self, processor: Processor | None, runners: Runners) -> tuple[str, Samples]:
        """Return name and version of the runtime, and the answers."""
        out = self.work / "out.bin"
        request = Request(
            format=self.artifact.format,
            model=str((self.bundle.path / self.artifact.file).resolve()),
            input=str(self.work / "in.bin"),
            inputs=format_specs(self.golden.inputs.specs),
            out=str(out),
            warmup=0,
            warmup_seconds=0.0,
            iters=1,
            min_seconds=0.0,
            max_seconds=1.0,
            threads=1,
            rows=len(self.golden.inputs),
        )
        command: Sequence[str] = drive.PYTHON
        if processor is not None:
            runner = runners[processor.abi, self.artifact.format]
            command = emulation.make_command(runner, processor, self.work / processor.name)
        transcript = drive.run(
            local.open(None), request, drive.make_environment(1), command, SILENCE_SECONDS
        )
        specs = self.golden.reference.specs
        reported = transcript.out.tensors if transcript.out else ""
        if reported != format_specs(specs):
            raise RunError(
                f"{self.artifact.name} answers with {reported}, not {format_specs(specs)}",
                "build the bundle again",
            )
        answers = unpack(specs, out.read_bytes())
        if len(answers) != len(self.golden.inputs):
            raise RunError(
                f"{self.artifact.name}: {len(answers)} answers to {len(self.golden.inputs)} inputs",
                "use the runner that belongs to this kit",
            )
        name = self.artifact.runtime.name
        versions = transcript.start.versions if transcript.start else {}
        return f"{name} {versions.get(name, '')}".strip(), answers

    def _compare(self, answers: Samples) -> list[Comparison]:
        """Compare with the graph and the float model, with the thresholds of the build."""
        manifest = self.bundle.manifest
        limits = {c.against: c.thresholds for c in self.artifact.parity}
        rights: list[tuple[Against, Samples]] = [("float reference", self.golden.reference)]
        graph = manifest.golden.graphs.get(self.artifact.name)
        if graph is not None:
            rights.insert(0, ("quantized graph", self.bundle.read_answers(graph)))
        task = get_task(manifest.task)
        return [
            comparison
            for against, right in rights
            for comparison in task.compare(against, right, answers, limits.get(against, {}))
        ]

    def _golden_max_abs(self, answers: Samples) -> float | None:
        files = self.bundle.manifest.golden.outputs.get(self.artifact.name)
        if files is None:
            return None
        pairs = zip(self.bundle.read_answers(files).arrays, answers.arrays, strict=True)
        return max(float(np.abs(left.astype(np.float64) - right).max()) for left, right in pairs)
