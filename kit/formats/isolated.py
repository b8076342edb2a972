"""A session in a separate process, so that a crash of the runtime does not affect kit.

The parent writes samples to the child's standard input and reads answers from its standard
output, both as one line of JSON and the bytes of `kit.signature.Samples.pack`:

    {"specs": "float32:1,3,224,224", "bytes": 602112}
    {"specs": …, "bytes": …, "starts": [0], "feedback": [[1, 1]]}    of a model with a state
    {"specs": "float32:1,1000", "bytes": 4000, "ns": 2100000}
    {"error": ["RunError", "message", "hint"]}
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypedDict

from kit import errors, formats
from kit.artifact_key import ArtifactKey
from kit.error_text import describe_exception
from kit.errors import KitError, RunError
from kit.files import temporary
from kit.formats.interface import Session
from kit.garbage import pause_collection
from kit.signature import (
    Samples,
    Sequences,
    Tensors,
    describe,
    format_specs,
    join,
    parse_specs,
    unpack,
)

_HINT = "build the bundle again"
_MAX_LINE = 1 << 16
_STDERR_LETTERS = 300


class _Answer(TypedDict, total=False):
    """A line of a child: it is ready, describes the bytes that follow, or reports an error."""

    ready: bool
    specs: str
    bytes: int
    ns: int
    error: tuple[str, str, str]  # class, message and hint


class IsolatedSession:
    """A model file that a child process has loaded; see `open_session`.

    Args:
        name: of the file, for messages.
        process: the child, which has reported that it is ready.
        log: its stderr.
    """

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        self.name, self._process, self._log = name, process, log
        self._ready = False

    def predict(self, samples: Samples) -> tuple[Samples, int]:
        """Return the outputs, named by position, and the nanoseconds of all inferences.

        Raises:
            BundleError: the runtime refuses the file.
            RunError: the runtime fails, crashes, or cannot use that many threads.
        """
        if not self._ready:
            self._receive("as the file is loaded")
            self._ready = True
        content = samples.pack()
        header = {"specs": format_specs(samples.specs), "bytes": len(content)}
        if isinstance(samples, Sequences):
            header |= {"starts": samples.starts, "feedback": samples.feedback}
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(header).encode() + b"\n" + content)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._death("on an input") from None
        answer = self._receive("on an input")
        assert self._process.stdout is not None
        values = self._process.stdout.read(answer["bytes"])
        if len(values) != answer["bytes"]:
            raise self._death("on an input")
        return unpack(parse_specs(answer["specs"]), values), int(answer["ns"])

    def _receive(self, when: str) -> _Answer:
        """Return the next line of the child, or raise the error that it reports."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline(_MAX_LINE)
        if not line.endswith(b"\n"):
            raise self._death(when)
        answer: _Answer = json.loads(line)
        if "error" in answer:
            kind, message, hint = answer["error"]
            raise errors.make_error(kind, message, hint)
        return answer

    def _death(self, when: str) -> RunError:
        code = self._process.wait()
        how = f"exit code {code}"
        if code < 0:
            how = f"signal {-code} ({signal.Signals(-code).name})"
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        last = f": {lines[-1][:_STDERR_LETTERS]}" if lines else ""
        hint = "free some memory" if code == -signal.SIGKILL else f"the file is damaged: {_HINT}"
        return RunError(f"{self.name} ends its process {when} by {how}{last}", hint)


@contextmanager
def open_session(key: ArtifactKey, path: Path, threads: int) -> Iterator[IsolatedSession]:
    """Start loading a model file in a child process, which is ended with the block.

    Args:
        key: of the file.
        path: of the file.
        threads: of the runtime.
    """
    command = [sys.executable, "-P", "-W", "ignore", "-m", "kit.formats.isolated"]
    root = str(Path(__file__).parents[2])
    inherited = os.environ.get("PYTHONPATH", "")
    search = [] if root.endswith("-packages") else [root]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*search, *filter(None, [inherited])]),
        "OMP_WAIT_POLICY": "passive",  # the parent and other children work between inferences
    }
    with temporary.open_nameless() as log:
        process = subprocess.Popen(
            [*command, key.format, key.name, str(path), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches only the parent, which then kills it
        )
        try:
            yield IsolatedSession(key.name, process, log)
        finally:
            process.kill()
            process.communicate()


def _serve(name: str, session: Session, requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until there are no more."""
    _write(answers, {"ready": True})
    while line := requests.readline():
        header = json.loads(line)
        samples = unpack(parse_specs(header["specs"]), requests.read(header["bytes"]))
        if "feedback" in header:
            feedback = tuple((taker, giver) for taker, giver in header["feedback"])
            samples = Sequences(samples.specs, samples.arrays, tuple(header["starts"]), feedback)
        outputs, ns = predict_rows(name, session, samples)
        content = outputs.pack()
        specs = format_specs(outputs.specs)
        _write(answers, {"specs": specs, "bytes": len(content), "ns": ns}, content)


def predict_rows(name: str, session: Session, samples: Samples) -> tuple[Samples, int]:
    """Return the answers of a session, one inference at a time, and the nanoseconds they took.

    States of `Sequences` are the session's own.
    """
    rows: list[Tensors] = []
    ns = 0
    try:
        for number in range(len(samples)):
            values = samples[number]
            if isinstance(samples, Sequences):
                values = samples.carry(number, rows[-1] if rows else None)
            call = session.bind(values)
            began = time.perf_counter_ns()
            output = call()
            ns += time.perf_counter_ns() - began
            rows.append(session.read(output))
        specs = tuple(describe(str(number), value) for number, value in enumerate(rows[0]))
        return join(specs, rows), ns
    except KitError:
        raise
    except Exception as exc:  # runtimes raise various errors, and answers may be of any type
        raise RunError(f"{name} fails on an input: {describe_exception(exc)}", _HINT) from exc


def _write(target: IO[bytes], header: _Answer, content: bytes = b"") -> None:
    target.write(json.dumps(header).encode() + b"\n" + content)
    target.flush()


def main(format_name: str, name: str, path: Path, threads: int) -> int:
    """Serve one model file on standard input and output."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # runtimes print to stdout, also from C
    try:
        with pause_collection():  # it imports the runtime
            session = formats.get_format(format_name).load(path, threads)
        _serve(name, session, sys.stdin.buffer, answers)
    except KitError as exc:
        _write(answers, {"error": (errors.name_kind(exc), exc.message, exc.hint)})
    return 0


if __name__ == "__main__":
    # Without destructors: some runtimes hang or crash in theirs.
    os._exit(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])))
