"""What an evaluation takes of a task: samples with the right answers, and running sums."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kit.calibration import ModelInputs
from kit.notices import Notice
from kit.signature import Samples

GroundTruth = Any  # the right answer to a sample, in the form of the task's own tally


@dataclass(frozen=True)
class EvaluationContext:
    """The model that an evaluation set is opened for.

    Attributes:
        inputs: of the model.
        seen: SHA-256 of each sample that calibrated or trained it, in hex.
        labelled: whether labels are requested.
    """

    inputs: ModelInputs
    seen: frozenset[str]
    labelled: bool = True


class EvaluationSet(ABC):
    """Samples to evaluate on.

    Attributes:
        source: name of their folder or file.
        sha256: of their contents and labels, in hex.
        left_out: number of samples that were left out because they calibrated or trained the
            model.
        notices: warnings about them.
    """

    source: str
    sha256: str
    left_out: int
    notices: tuple[Notice, ...]

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of samples."""

    @property
    @abstractmethod
    def labelled(self) -> bool:
        """Return whether the samples have labels."""

    @abstractmethod
    def load(self, start: int, stop: int) -> tuple[Samples, Sequence[GroundTruth]]:
        """Return the samples of a range of indices, and their targets for the task's tally.

        Raises:
            SampleError: one cannot be used.
        """


class Tally(ABC):
    """Running sums over answers, so that answers need not be stored."""

    @abstractmethod
    def add(self, answers: Samples, reference: Samples, targets: Sequence[GroundTruth]) -> None:
        """Add answers, the float model's answers to the same samples, and their targets."""

    @abstractmethod
    def measure(self) -> Mapping[str, object]:
        """Return the fields of `kit.results.accuracy.AccuracyRow` that the task measures.

        What has no field of its own is a `kit.results.accuracy.Metric` among `metrics`.
        """
