"""What every correction promises; `tests/test_corrections.py` holds each member to it.

A member of `kit.corrections` defines:

    INFO: Info
    def apply(
        model: GraphModule,
        given: ExamplesLike,
        granularity: str,
        kept: Collection[str] = (),
        step: Callable[[float], None] = lambda done: None,
    ) -> None

`apply` changes parameters in place and keeps the graph, the names and the shapes, because
only the state dict travels to the children that lower the formats. `given` are the examples
that calibrate. `kept` names the layers that stay float: their weights are
not rounded. Scaling them is allowed, since it serves the tensors between layers. A
correction that takes long calls `step` with the share that is done, 0..1.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Info:
    """One line about a correction.

    Attributes:
        summary: for `kit list`.
        order: corrections with a smaller number come first.
    """

    summary: str
    order: int
