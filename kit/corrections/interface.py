"""What a correction is; `tests/test_corrections.py` checks every registered one."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch.fx import GraphModule

    from kit.quantize.examples import ExamplesLike


class Apply(Protocol):
    """Changes the parameters of a folded float model in place.

    The graph, the names and the shapes stay, because only the state dict travels to the
    processes that lower the formats.
    """

    def __call__(
        self,
        model: GraphModule,
        given: ExamplesLike,
        granularity: str,
        kept: Collection[str] = (),
        step: Callable[[float], None] = lambda done: None,
    ) -> None:
        """Correct a model.

        Args:
            model: with BatchNorm folded.
            given: examples that calibrate.
            granularity: of the weights' scales.
            kept: names of layers that stay float: their weights are not rounded. Scaling them
                is allowed, since it serves the tensors between layers.
            step: called with the completed share, 0..1, by slow corrections.
        """


@dataclass(frozen=True)
class Correction:
    """A step on the float model before it is quantized.

    Attributes:
        name: of its module or entry point.
        summary: for `kit list`.
        order: corrections with a smaller number come first.
        apply: changes the model.
        excludes: name of another correction, and why the two exclude each other.
    """

    name: str
    summary: str
    order: int
    apply: Apply
    excludes: tuple[str, str] | None = None
