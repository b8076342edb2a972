"""The host's side of a runner: start it on a device, listen, and say what went wrong."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from kit.devices._contract import Device, Job
from kit.errors import RunError
from kit.runners.protocol import Exit, Request, Transcript

# -P: a `torch.py` in the user's working directory must not become torch.
PYTHON = (sys.executable, "-P", "-W", "ignore", "-m", "kit.runners.python")
SILENCE_SECONDS = 120.0
_STDERR_LINES = 3
_SHELL_SIGNALS = 128


def environment(threads: int) -> dict[str, str]:
    """Return the variables that every runner is started with.

    Without them OpenMP's idle threads spin on the cores that are measured, and ONNX
    Runtime's wheel runs a usage reporter.
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
        device: where.
        request: what it shall do.
        variables: set for the process, see `environment`.
        runner: the command that `request` is appended to.
        silence: a runner that prints nothing for so many seconds has failed; the warm-up, of
            which none tells before its end, has the time of its inferences on top.

    Raises:
        RunError: it failed, was killed, broke off or fell silent.
    """
    job = device.start((*runner, *request.arguments()), {**variables, **_import_path(runner)})
    try:
        transcript, code = _listen(job, request, silence)
        _check(request.format, transcript, code, job.stderr())
    finally:
        job.kill()
    return transcript


def _import_path(runner: Sequence[str]) -> dict[str, str]:
    """Let the child import the kit that runs here, also one that is not installed."""
    if runner is not PYTHON:
        return {}
    root = str(Path(__file__).parents[2])
    # Site-packages would come before the standard library, and are found anyway.
    return {} if root.endswith("-packages") else {"PYTHONPATH": root}


def _patience(transcript: Transcript, request: Request, silence: float) -> float:
    """Return the seconds of silence that are too many now."""
    if transcript.first is None or transcript.stage != "first":
        return silence
    # Twice the first inference each: later ones are faster, unless the device throttles.
    warming = 2 * request.warmup * transcript.first.ns / 1e9
    return silence + request.warmup_seconds + warming


def _listen(job: Job, request: Request, silence: float) -> tuple[Transcript, int]:
    transcript, heard = Transcript(), time.monotonic()
    until = heard + request.warmup_seconds + request.min_seconds  # not over before
    while True:
        lines, code = job.poll()
        for line in lines:
            transcript.hear(line)
        if code is not None:
            return transcript, code
        if lines:
            heard = time.monotonic()
        elif time.monotonic() - heard > (limit := _patience(transcript, request, silence)):
            raise RunError(
                f"{request.format}: the runner said nothing for {limit:g} s after "
                f"{transcript.stage!r}" + _tail(job.stderr()),
                "the machine may be overloaded, or the model hangs in this runtime",
            )
        job.wait(until - time.monotonic())


def _check(name: str, transcript: Transcript, code: int, stderr: str) -> None:
    if code > _SHELL_SIGNALS:  # a shell's way to tell of a signal
        code = _SHELL_SIGNALS - code
    if code != 0 or transcript.error:
        raise RunError(f"{name}: {_how(transcript, code)}{_tail(stderr)}", _hint(code))
    missing = transcript.missing()
    if missing:
        raise RunError(
            f"{name}: the runner's output breaks off after {transcript.stage!r}: {missing}"
            + _tail(stderr),
            "measure again; if it happens again, please report it",
        )


def _how(transcript: Transcript, code: int) -> str:
    if code < 0:
        return f"the runner was killed by {_signal(-code)} after {transcript.stage!r}"
    how = f"the runner ended with exit code {code}"
    if transcript.error:
        return f"{how} at {transcript.error.at}: {transcript.error.msg}"
    return f"{how} after {transcript.stage!r}"


def _signal(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


def _hint(code: int) -> str:
    if code == -signal.SIGKILL:
        return "signal 9 is usually too little memory: free some, or measure fewer formats"
    if code == Exit.USAGE:
        return "use the runner that belongs to this kit"
    if code == Exit.OUTPUT:
        return "make space in the temporary folder, or point TMPDIR to another one"
    if code == Exit.AFFINITY:
        return "name cores that the device has and lets a program use, or leave --cpus out"
    if code == Exit.PROFILE:
        return "measure without --profile, or use the native runner: kit runner build"
    return "this runtime cannot run the file: build the bundle again with the versions used here"


def _tail(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if line.strip()][-_STDERR_LINES:]
    return "".join(f"\n  stderr: {line[:300]}" for line in lines)
