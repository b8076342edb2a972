"""What is measured: targets, each one file of one bundle with its request for a runner."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from kit.artifact_key import FLOAT_MODEL, REFERENCE, ArtifactKey
from kit.bench import answers
from kit.bench.runner import Runner
from kit.bundles.bundle import Bundle
from kit.devices.interface import Folder
from kit.errors import UsageError
from kit.results.latency import Operator, Plan, Process
from kit.runners import native
from kit.runners.protocol import Request
from kit.runners.transcript import Transcript
from kit.signature import Samples, format_specs

Pass = Literal["time", "memory", "profile"]
PROFILE = "profile.out"
ANSWER = "answer.bin"


@dataclass
class Target:
    """One file of one bundle, and what its processes reported so far.

    Attributes:
        key: of the file.
        cpus: affinity mask of each process, where the device reports it.
        transcript: of the latest timing pass.
        memory: transcript of the memory pass.
        golden_max_abs: largest difference from the golden answer, over all passes.
    """

    bundle: Bundle
    key: ArtifactKey
    quantize: str
    expected: Samples
    request: Request
    runner: Runner
    processes: list[Process] = field(default_factory=list)
    cpus: list[str] = field(default_factory=list)
    transcript: Transcript | None = None
    memory: Transcript | None = None
    operators: tuple[Operator, ...] = ()
    golden_max_abs: float = 0.0

    @property
    def label(self) -> str:
        """Name for progress: ``v2-int8 onnx-int8``."""
        return f"{self.bundle.path.name} {self.key.name}"

    def request_for(self, kind: Pass, profile: str) -> Request:
        """Return the request of a pass; `profile` is the path a profile is written to."""
        if kind == "memory":
            return _shorten(self.request)
        if kind == "profile":
            # Profiling slows inference down, so its samples are not used.
            return replace(_shorten(self.request), warmup=2, iters=20, profile=profile)
        return self.request


def _shorten(request: Request) -> Request:
    """Return a request of a few inferences, whose samples take no memory worth mentioning."""
    return replace(
        request, warmup=0, warmup_seconds=0.0, iters=3, min_seconds=0.0, max_seconds=60.0
    )


def select_keys(
    bundle: Bundle, formats: Sequence[str] | None, only_native: bool = False
) -> list[ArtifactKey]:
    """Return the keys of a bundle's files to measure.

    Args:
        bundle: to measure.
        formats: names of formats or of files, and ``reference``; None for all files.
        only_native: of all files, leave out those without a native runner if others have one.

    Raises:
        BundleError: the bundle has no such file.
    """
    manifest = bundle.manifest
    if formats is None:
        runnable = manifest.select_runnable(None)
        with_runner = [key for key in runnable if key.format in native.list_formats()]
        return with_runner if only_native and with_runner else runnable
    keys = []
    for name in formats:
        keys += [FLOAT_MODEL] if name == REFERENCE else manifest.select_runnable([name])
    return list(dict.fromkeys(keys))


def prepare(
    loaded: Sequence[Bundle],
    formats: Sequence[str] | None,
    plan: Plan,
    folder: Folder,
    runners: Mapping[str, Runner],
    only_native: bool = False,
) -> list[Target]:
    """Push models and inputs to the device, and return the targets.

    A float model that several bundles share is measured with the first of them.

    Raises:
        UsageError: there is nothing to measure.
        BundleError: a bundle lacks a file.
    """
    targets, references = [], set()
    for bundle in loaded:
        keys = select_keys(bundle, formats, only_native)
        for key in keys:
            if key == FLOAT_MODEL:
                digest = bundle.manifest.files[bundle.file(REFERENCE).name].sha256
                if digest in references and len(keys) > 1:
                    continue
                references.add(digest)
            targets.append(_target(bundle, key, plan, folder, runners[key.format]))
    if not targets:
        raise UsageError("there is no format to measure", "name a bundle and --format lite,onnx")
    return targets


def _target(bundle: Bundle, key: ArtifactKey, plan: Plan, folder: Folder, runner: Runner) -> Target:
    name = key.name
    quantize = "none" if key == FLOAT_MODEL else bundle.manifest.artifact(name).quantize
    inputs, expected = answers.load(bundle, name)
    raw = inputs.pack()
    digest = hashlib.sha256(raw).hexdigest()[:16]
    request = Request(
        format=key.format,
        model=folder.put(bundle.file(name)),
        input=folder.write(f"{digest}.bin", raw),
        inputs=format_specs(inputs.specs),
        out=folder.path(ANSWER),
        warmup=plan.warmup_runs,
        warmup_seconds=plan.warmup_seconds,
        iters=plan.runs,
        min_seconds=plan.seconds,
        max_seconds=plan.max_seconds,
        threads=plan.threads,
        cpus=plan.cpus,
    )
    return Target(bundle, key, quantize, expected, request, runner)
