"""One pass of one target: run it, check its answer, store what it reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kit.bench import answers, stability
from kit.bench.targets import ANSWER, PROFILE, Pass, Target
from kit.devices.interface import Device, Folder
from kit.errors import RunError
from kit.files import temporary
from kit.results.latency import Operator, Plan, Process
from kit.runners import drive
from kit.runners import profile as profiles
from kit.runners.transcript import Transcript

# Read beyond the expected size, so that an error can state the size of a wrong answer.
_ANSWER_SLACK = 1 << 20


@dataclass(frozen=True)
class MeasurementSession:
    """The device, folder and environment variables that passes run with."""

    device: Device
    folder: Folder
    plan: Plan
    variables: Mapping[str, str]


def run(session: MeasurementSession, target: Target, kind: Pass) -> None:
    """Run a pass: ``time``, ``memory`` or ``profile``.

    A failed pass is retried once if a file on the device had changed.

    Raises:
        RunError: the runner failed, or its answer differs from the bundle's.
    """
    try:
        _run_once(session, target, kind)
    except RunError as exc:
        changed = session.folder.audit()
        if not changed:
            raise
        try:
            _run_once(session, target, kind)
        except RunError as second:
            raise second from exc


def _run_once(session: MeasurementSession, target: Target, kind: Pass) -> None:
    device, plan = session.device, session.plan
    waited = device.settle(plan.cool_c, plan.cool_seconds)
    request = target.request_for(kind, session.folder.path(PROFILE))
    transcript = drive.run(device, request, session.variables, target.runner.command)
    assert transcript.start is not None  # checked by `Transcript.missing`
    target.runner.check_versions(transcript.start.versions)
    size = sum(spec.size for spec in target.expected.specs)
    answer = session.folder.read(ANSWER, size + _ANSWER_SLACK)
    difference = answers.check(target.key, target.quantize, answer, target.expected)
    target.golden_max_abs = max(target.golden_max_abs, difference)
    if kind == "memory":
        target.memory = transcript
    elif kind == "profile":
        target.operators = _operators(session.folder, transcript, target)
    else:
        target.transcript = transcript
        if transcript.start is not None and transcript.start.cpus is not None:
            target.cpus.append(transcript.start.cpus)
        target.processes.append(_process(transcript, waited, device))


def _process(transcript: Transcript, waited: float, device: Device) -> Process:
    assert transcript.load is not None  # checked by `Transcript.missing`
    assert transcript.first is not None
    assert transcript.end is not None
    return Process(
        load_ns=transcript.load.ns,
        first_ns=transcript.first.ns,
        samples_ns=tuple(transcript.samples),
        cpu_ns=transcript.end.cpu_ns,
        waited=round(waited, 1) if waited > 1 else 0.0,
        conditions=device.conditions(),
    )


def _operators(folder: Folder, transcript: Transcript, target: Target) -> tuple[Operator, ...]:
    if transcript.profile is None:
        raise RunError(
            f"{target.key.name}: the runner wrote no profile", "measure without --profile"
        )
    with temporary.make_folder() as work:
        file = work / "profile"
        file.write_bytes(folder.read(PROFILE, profiles.MAX_BYTES))
        kind, samples = transcript.profile.kind, len(transcript.samples)
        return profiles.read_operators(file, target.key.format, kind, samples)


def is_resolved(processes: Sequence[Process], plan: Plan) -> bool:
    """Return whether the median's interval is as narrow as the plan's precision.

    The interval is over processes: with fewer than three, or three that are far apart, it is
    missing or wide, however many samples they took.
    """
    width = stability.compute_half_width([p.samples_ns for p in processes])
    return width is not None and width <= plan.precision
