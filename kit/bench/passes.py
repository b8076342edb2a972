"""One pass of one target: run it, look at its answer, keep what it said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kit import files
from kit.bench import answers, stability
from kit.bench.targets import ANSWER, PROFILE, Pass, Target
from kit.devices.interface import Device, Folder
from kit.errors import RunError
from kit.results.schema import Operator, Plan, Process
from kit.runners import drive
from kit.runners import profile as profiles
from kit.runners.transcript import Transcript

# So that the message tells how many numbers a wrong answer has, unless it has very many.
_ANSWER_SLACK = 1 << 20


@dataclass(frozen=True)
class Place:
    """Where and under which variables passes run."""

    device: Device
    folder: Folder
    plan: Plan
    variables: Mapping[str, str]


def run(place: Place, target: Target, kind: Pass) -> None:
    """Run a pass: ``time``, ``memory`` or ``profile``.

    A pass that fails on a device is tried once more if a file there had changed.

    Raises:
        RunError: the runner failed, or computes something else than the bundle says.
    """
    try:
        _once(place, target, kind)
    except RunError as exc:
        changed = place.folder.audit()
        if not changed:
            raise
        try:
            _once(place, target, kind)
        except RunError as again:
            raise again from exc


def _once(place: Place, target: Target, kind: Pass) -> None:
    device, plan = place.device, place.plan
    waited = device.settle(plan.cool_c, plan.cool_seconds)
    request = target.asked(kind, place.folder.path(PROFILE))
    heard = drive.run(device, request, place.variables, target.runner.command)
    assert heard.start is not None  # `Transcript.missing` has looked
    target.runner.check_versions(heard.start.versions)
    size = sum(spec.size for spec in target.expected.specs)
    answer = place.folder.read(ANSWER, size + _ANSWER_SLACK)
    off = answers.check(target.key, target.quantize, answer, target.expected)
    target.off_by = max(target.off_by, off)
    if kind == "memory":
        target.memory = heard
    elif kind == "profile":
        target.operators = _operators(place.folder, heard, target)
    else:
        target.heard = heard
        if heard.start is not None and heard.start.cpus is not None:
            target.cpus.append(heard.start.cpus)
        target.processes.append(_process(heard, waited, device))


def _process(heard: Transcript, waited: float, device: Device) -> Process:
    assert heard.load is not None  # `Transcript.missing` has looked
    assert heard.first is not None
    assert heard.end is not None
    return Process(
        load_ns=heard.load.ns,
        first_ns=heard.first.ns,
        samples_ns=tuple(heard.samples),
        cpu_ns=heard.end.cpu_ns,
        waited=round(waited, 1) if waited > 1 else 0.0,
        conditions=device.conditions(),
    )


def _operators(folder: Folder, heard: Transcript, target: Target) -> tuple[Operator, ...]:
    if heard.profile is None:
        raise RunError(
            f"{target.key.name}: the runner wrote no profile", "measure without --profile"
        )
    with files.temporary_folder() as temporary:
        file = temporary / "profile"
        file.write_bytes(folder.read(PROFILE, profiles.MAX_BYTES))
        kind, samples = heard.profile.kind, len(heard.samples)
        return profiles.read_operators(file, target.key.format, kind, samples)


def resolved(processes: Sequence[Process], plan: Plan) -> bool:
    """Return whether the median is known to the plan's precision.

    Its interval counts processes: fewer than three, or three that are far apart, do not know
    it, however many samples they took.
    """
    width = stability.half_width([p.samples_ns for p in processes])
    return width is not None and width <= plan.precision
