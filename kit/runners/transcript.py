"""The transcript of a runner's events, limited to what its request can cause."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from kit.errors import RunError
from kit.runners import protocol
from kit.runners.protocol import (
    End,
    Error,
    First,
    Iter,
    Load,
    Mem,
    Out,
    Profile,
    Request,
    Start,
    Warm,
)

NOISE_LINES = 50  # kept for messages
_NOISE_LETTERS = 500  # of each that is kept
_MAX_NOISE = 16 << 20  # letters in all
# An upper bound: ONNX Runtime takes 3 µs for a model with a few numbers.
_SAMPLES_PER_SECOND = 2_000_000
_MAX_SAMPLES = 100_000_000  # a day of samples of a millisecond


def compute_max_samples(request: Request) -> int:
    """Return the maximum number of samples that a request can cause."""
    return min(_MAX_SAMPLES, request.iters + int(request.min_seconds * _SAMPLES_PER_SECOND))


@dataclass
class Transcript:
    """The events of a runner so far.

    Args:
        max_samples: see `compute_max_samples`.

    Attributes:
        stage: name of the last event; empty before the first.
        samples: nanoseconds; an array, because there may be millions.
        noise: the first lines that were no events.
    """

    max_samples: int = _MAX_SAMPLES
    start: Start | None = None
    load: Load | None = None
    first: First | None = None
    mem: Mem | None = None
    out: Out | None = None
    profile: Profile | None = None
    end: End | None = None
    error: Error | None = None
    samples: array[int] = field(default_factory=lambda: array("q"))
    noise: list[str] = field(default_factory=list)
    stage: str = ""
    _noise_letters: int = 0

    def add(self, line: str) -> bool:
        """Add a line and return whether it was an event.

        Raises:
            RunError: see `kit.runners.protocol.parse`; or an event is out of order, or there are
                more samples than the request can cause.
        """
        event = protocol.parse(line)
        if event is None:
            self._add_noise(line)
            return False
        self._check_order(event.event)
        self.stage = event.event
        if isinstance(event, Iter):
            self._add_samples(event.ns)
        elif not isinstance(event, Warm):
            setattr(self, event.event, event)
        return True

    def _add_noise(self, line: str) -> None:
        self._noise_letters += len(line) + 1
        if self._noise_letters > _MAX_NOISE:
            raise RunError(
                f"the runner prints more than {_MAX_NOISE >> 20} MiB of lines that are no events",
                "use the runner that belongs to this kit; if you do, please report it",
            )
        if line.strip() and len(self.noise) < NOISE_LINES:
            self.noise.append(line[:_NOISE_LETTERS])

    def _check_order(self, name: str) -> None:
        again = name == self.stage and name != "iter"
        if self.stage and (again or protocol.ORDER.index(name) < protocol.ORDER.index(self.stage)):
            raise RunError(
                f"the runner reports {name!r} after {self.stage!r}",
                "this is a bug in the runner: please report it",
            )

    def _add_samples(self, samples: tuple[int, ...]) -> None:
        if len(self.samples) + len(samples) > self.max_samples:
            raise RunError(
                f"the runner reports more than the {self.max_samples} samples that were possible",
                "this is a bug in the runner: please report it",
            )
        self.samples.extend(samples)

    def missing(self) -> str | None:
        """Return what is missing in an incomplete transcript, None if it is complete."""
        for name in ("start", "load", "first", "mem", "out", "end"):
            if getattr(self, name) is None:
                return f"no {name!r} line"
        if self.end is not None and self.end.count != len(self.samples):
            return f"{len(self.samples)} of {self.end.count} samples"
        return None if self.samples else "no samples"
