"""The host's side of a runner: start it on a device, read its events, explain failures."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from kit.devices.interface import Device, Job
from kit.errors import RunError
from kit.files import temporary
from kit.runners.protocol import Exit, Request
from kit.runners.transcript import Transcript, compute_max_samples

# -P: a `torch.py` in the user's working directory must not become torch.
PYTHON = (sys.executable, "-P", "-W", "ignore", "-m", "kit.runners.python")
SILENCE_SECONDS = 120.0
_STDERR_LINES = 3
_ERROR_LETTERS = 1000
_CLOCK_TOLERANCE = 1.1  # ratio of the device's clock to ours
_SHELL_SIGNALS = 128


def make_environment(threads: int) -> dict[str, str]:
    """Return the environment variables of every runner.

    Without them OpenMP's idle threads busy-wait on the measured cores, and ONNX Runtime's
    wheel reports usage.
    """
    return {
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "passive",
        "ORT_DISABLE_TELEMETRY": "1",
    }


def run(
    device: Device,
    request: Request,
    variables: Mapping[str, str],
    runner: Sequence[str] = PYTHON,
    silence: float = SILENCE_SECONDS,
) -> Transcript:
    """Run one runner process to its end.

    Args:
        device: to run on.
        request: options of the runner.
        variables: environment variables, see `make_environment`.
        runner: the command that `request` is appended to.
        silence: timeout in seconds of each stage, in addition to the times in the request. Only
            the next event ends a stage, so that other output does not extend it.

    Raises:
        RunError: the runner failed, was killed, timed out, or its output is incomplete or more
            than the request can cause.
    """
    began = time.monotonic()
    job = device.start((*runner, *request.arguments()), {**variables, **_import_path(runner)})
    try:
        transcript, code = _follow(job, request, silence)
        _check(request.format, transcript, code, job.stderr(), device.ref.kind == "local")
        _check_times(request.format, transcript, time.monotonic() - began)
    finally:
        job.kill()
    return transcript


def _import_path(runner: Sequence[str]) -> dict[str, str]:
    """Return variables that let the child import this kit, even if it is not installed."""
    if runner is not PYTHON:
        return {}
    root = str(Path(__file__).parents[2])
    if root.endswith("-packages"):
        return {}  # it is on the path already, and here it would precede the standard library
    inherited = os.environ.get("PYTHONPATH", "")  # which may have plug-ins
    return {"PYTHONPATH": os.pathsep.join([root, inherited] if inherited else [root])}


def _follow(job: Job, request: Request, silence: float) -> tuple[Transcript, int]:
    """Read a job's events until it ends; return them and its exit code."""
    transcript, watch = Transcript(compute_max_samples(request)), _Watch(request, silence)
    not_before = watch.began + request.warmup_seconds + request.min_seconds
    while True:
        lines, code = job.poll()
        are_events = [transcript.add(line) for line in lines]
        if code is not None:
            return transcript, code
        now = time.monotonic()
        if any(are_events):
            watch.note(transcript, now)
        overdue = watch.overdue(transcript, now, job.silent_seconds)
        if overdue is not None:
            raise RunError(
                f"{request.format}: the runner {overdue} {_after(transcript)}{_tail(job.stderr())}",
                "the machine may be overloaded, or the model hangs in this runtime",
            )
        job.wait(not_before - now)


class _Watch:
    """Timeouts of a runner's stages; only the next event ends a stage.

    Args:
        request: of the runner.
        silence: timeout in seconds of a stage, in addition to the times in the request.
    """

    def __init__(self, request: Request, silence: float) -> None:
        self._request, self._silence = request, silence
        self.began = self._last_event = time.monotonic()
        self._sampling_since: float | None = None
        self._inference = 0.0  # seconds of the first one

    def note(self, transcript: Transcript, now: float) -> None:
        """Record that events arrived."""
        self._last_event = now
        if transcript.first is not None and not self._inference:
            # The reported time is capped by the time since the start.
            self._inference = min(transcript.first.ns / 1e9, now - self.began)
        if transcript.stage in ("warm", "iter") and self._sampling_since is None:
            self._sampling_since = now

    def overdue(self, transcript: Transcript, now: float, silent: float) -> str | None:
        """Return which timeout the runner exceeded, in words, or None.

        Args:
            transcript: of its events.
            now: `time.monotonic()`.
            silent: timeout for the next event of this kind of job, see `Job.silent_seconds`.
        """
        request = self._request
        margin = self._silence + 2 * self._inference  # no inference is interrupted
        if self._sampling_since is not None and transcript.stage in ("warm", "iter"):
            limit = request.max_seconds + margin
            if now - self._sampling_since > limit:
                return f"took samples for more than {limit:.4g} s"
        limit = margin
        if transcript.stage == "first":  # now it warms up
            # Allow twice the first inference's time each: they are faster unless it throttles.
            limit += request.warmup_seconds + 2 * request.warmup * self._inference
        limit = max(limit, silent)
        return f"reported nothing for {limit:.3g} s" if now - self._last_event > limit else None


def _check(name: str, transcript: Transcript, code: int, stderr: str, is_local: bool) -> None:
    if code > _SHELL_SIGNALS:  # shells add 128 to a signal's number
        code = _SHELL_SIGNALS - code
    if code != 0 or transcript.error:
        raise RunError(
            f"{name}: {_how(transcript, code)}{_tail(stderr)}", _hint(transcript, code, is_local)
        )
    missing = transcript.missing()
    if missing:
        raise RunError(
            f"{name}: the runner's output breaks off {_after(transcript)}: {missing}"
            + _tail(stderr),
            "measure again; if it happens again, please report it",
        )


def _how(transcript: Transcript, code: int) -> str:
    if code < 0:
        return f"the runner was killed by {_signal(-code)} {_after(transcript)}"
    how = f"the runner ended with exit code {code}"
    if code == Exit.OUTPUT and transcript.error is None:
        how = f"the runner could not write what it measured and {how.removeprefix('the runner ')}"
    if transcript.error:
        return f"{how} at {transcript.error.at}: {transcript.error.msg[:_ERROR_LETTERS]}"
    return f"{how} {_after(transcript)}"


def _after(transcript: Transcript) -> str:
    return f"after {transcript.stage!r}" if transcript.stage else "before its first event"


def _check_times(name: str, transcript: Transcript, elapsed: float) -> None:
    """Refuse times that add up to more than the elapsed time: in another unit, or invented.

    Raises:
        RunError: they do.
    """
    events = (transcript.load, transcript.first)
    reported = (sum(transcript.samples) + sum(e.ns for e in events if e is not None)) / 1e9
    if reported > _CLOCK_TOLERANCE * elapsed + 1:
        raise RunError(
            f"{name}: the runner reports {reported:.3g} s of work, and ran for {elapsed:.3g} s",
            "use the runner that belongs to this kit; if you do, please report it",
        )


def _signal(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


def _hint(transcript: Transcript, code: int, is_local: bool) -> str:
    if code == Exit.LOAD and transcript.start is None:
        return "the runtime itself cannot be loaded here: see its message"
    if code == -signal.SIGKILL:
        return "signal 9 is usually too little memory: free some, or measure fewer formats"
    if code == Exit.USAGE:
        return "use the runner that belongs to this kit"
    if code == Exit.OUTPUT:
        if is_local:
            folder = temporary.find_root()
            return f"make space in {folder}, where runners write, or point TMPDIR to another folder"
        return "make space on the device, for example with `kit clean`"
    if code == Exit.AFFINITY:
        return "name cores that the device has and lets a program use, or leave --cpus out"
    if code == Exit.PROFILE:
        return "measure without --profile, or use the native runner: kit runner build"
    return "this runtime cannot run the file: build the bundle again with the versions used here"


def _tail(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if line.strip()][-_STDERR_LINES:]
    return "".join(f"\n  stderr: {line[:300]}" for line in lines)
