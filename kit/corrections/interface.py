"""Interface of corrections; `tests/test_corrections.py` checks every registered one."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch.fx import GraphModule

    from kit.quantize.examples import ExamplesLike


class Apply(Protocol):
    """Changes the parameters of a folded float model in place.

    The graph, the names and the shapes must not change, because the processes that lower the
    formats receive the state dict only.
    """

    def __call__(
        self,
        model: GraphModule,
        examples: ExamplesLike,
        granularity: str,
        kept: Collection[str] = (),
        step: Callable[[float], None] = lambda done: None,
    ) -> None:
        """Correct a model.

        Args:
            model: with BatchNorm folded.
            examples: the calibration set.
            granularity: of the weights' scales: ``per-channel`` or ``per-tensor``.
            kept: names of layers that stay float: their weights are not rounded. They may be
                scaled, because that changes the ranges of the tensors between layers.
            step: progress callback of slow corrections; takes the completed share, 0..1.
        """


@dataclass(frozen=True)
class Correction:
    """A change of the float model before it is quantized.

    Attributes:
        name: of its module or entry point.
        summary: for `kit list`.
        order: corrections with smaller numbers are applied first.
        apply: changes the model.
        excludes: name of a correction that cannot be combined with this one, and the reason.
    """

    name: str
    summary: str
    order: int
    apply: Apply
    excludes: tuple[str, str] | None = None
