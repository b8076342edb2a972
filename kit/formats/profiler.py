"""Times of the operators of a model: `Profiler`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from kit.formats.interface import Session


@dataclass(frozen=True)
class OperatorTime:
    """Time of one operator in a profile.

    Attributes:
        name: of this operator in the model, as the runtime calls it.
        type: what it computes.
        calls: inferences that are in it.
        ns: nanoseconds of all calls.
    """

    name: str
    type: str
    calls: int
    ns: float


class Profiler(ABC):
    """Times of single operators: how files are written by Python's runner, and read."""

    kind: ClassVar[str]  # of the files, in the protocol of runners
    in_python: ClassVar[bool] = True  # whether the runtime's Python package can write them

    def load(self, path: Path, threads: int, target: Path) -> Session:
        """Load a model whose inferences will be recorded."""
        raise NotImplementedError(self.kind)

    def start(self, session: Session) -> Callable[[Path], None]:
        """Begin to record; the function that is returned ends it and writes a file."""
        raise NotImplementedError(self.kind)

    def name_nodes(self, operator: str) -> tuple[str, ...]:
        """Return what may be the name of an operator's node, or of its output, in the file.

        Args:
            operator: name in a profile.
        """
        return (operator,)

    @abstractmethod
    def read(self, path: Path, samples: int) -> list[OperatorTime]:
        """Read a file; the last `samples` calls of each operator count.

        Raises:
            ValueError: the file cannot be read.
        """
