"""Several processes that train together, as `torchrun` starts them.

Every process has the whole model and takes its part of each batch; gradients are summed
over all processes. The first process alone decides and writes, the others follow it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar, cast

from kit.errors import BuildError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

# Followers wait while the first process lowers, which takes minutes for a large model.
PATIENCE = timedelta(hours=12)


@dataclass(frozen=True)
class Group:
    """The processes of one build.

    Attributes:
        rank: number of this process; 0 decides and writes.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process decides and writes."""
        return self.rank == 0

    def share(self, value: T | None) -> T:
        """Return the first process's value in all; also a point where all wait for it.

        Raises:
            BuildError: a process ended early.
        """
        if self.size == 1:
            return cast(T, value)  # this process leads
        import torch.distributed as processes

        box = [value if self.leads else None]
        with _peers():
            processes.broadcast_object_list(box, src=0)
        return cast(T, box[0])  # what the first process gave

    def part(self, count: int) -> slice:
        """Return which of a batch's `count` pictures are this process's."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def add_up(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors, in place, by their sums over all processes.

        Raises:
            BuildError: a process ended early.
        """
        if self.size == 1:
            return
        import torch
        import torch.distributed as processes

        every = list(tensors)
        flat = torch.cat([tensor.flatten() for tensor in every])
        with _peers():
            processes.all_reduce(flat)
        parts = flat.split([tensor.numel() for tensor in every])
        for tensor, part in zip(every, parts, strict=True):
            tensor.copy_(part.view_as(tensor))


@contextmanager
def _peers() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError) as exc:  # what gloo and the rendezvous raise
        raise BuildError(
            f"a process of this build cannot be reached: {str(exc).splitlines()[0]}",
            "another process may have said why; start all of them with torchrun",
        ) from exc


def standing() -> Group:
    """Return this process's place as `torchrun` set it; imports no torch.

    Raises:
        UsageError: the variables are not what torchrun sets.
    """
    if "WORLD_SIZE" not in os.environ:
        return Group()
    texts = os.environ.get("RANK", ""), os.environ["WORLD_SIZE"]
    try:
        group = Group(int(texts[0]), int(texts[1]))
    except ValueError:
        group = Group(-1, 0)
    if not 0 <= group.rank < group.size:
        raise UsageError(
            f"RANK={texts[0]} and WORLD_SIZE={texts[1]} are not a place among processes",
            "torchrun sets both; unset them to build in one process",
        )
    return group


@contextmanager
def together() -> Iterator[Group]:
    """Give the group of processes, joined over gloo if there is more than one."""
    group = standing()
    if group.size == 1:
        yield group
        return
    import torch.distributed as processes

    with _peers():
        processes.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield group
    finally:
        processes.destroy_process_group()
