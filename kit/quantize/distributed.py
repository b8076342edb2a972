"""Data-parallel training in several processes, as `torchrun` starts them.

Every process has the whole model and takes its part of each batch; gradients are summed
over all processes. Only rank 0 makes decisions and writes files; the other ranks follow it.
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

# The other ranks wait while rank 0 lowers, which takes minutes for a large model.
TIMEOUT = timedelta(hours=12)


@dataclass(frozen=True)
class Group:
    """The processes of one build.

    Attributes:
        rank: of this process.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_rank0(self) -> bool:
        """Whether this process makes decisions and writes files."""
        return self.rank == 0

    def broadcast(self, value: T | None) -> T:
        """Return rank 0's value in all processes, which wait for it here.

        Raises:
            BuildError: a process ended early.
        """
        if self.size == 1:
            return cast(T, value)  # this process is rank 0
        import torch.distributed as processes

        box = [value if self.is_rank0 else None]
        with _translated_errors():
            processes.broadcast_object_list(box, src=0)
        return cast(T, box[0])  # rank 0's value

    def part(self, count: int) -> slice:
        """Return this process's slice of a batch of `count` pictures."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def all_reduce(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors, in place, by their sums over all processes.

        Raises:
            BuildError: a process ended early.
        """
        if self.size == 1:
            return
        import torch
        import torch.distributed as processes

        targets = list(tensors)
        flat = torch.cat([tensor.flatten() for tensor in targets])
        with _translated_errors():
            processes.all_reduce(flat)
        parts = flat.split([tensor.numel() for tensor in targets])
        for tensor, part in zip(targets, parts, strict=True):
            tensor.copy_(part.view_as(tensor))


@contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError) as exc:  # what gloo and the rendezvous raise
        raise BuildError(
            f"a process of this build cannot be reached: {str(exc).splitlines()[0]}",
            "another process may have reported why; start all of them with torchrun",
        ) from exc


def from_environment() -> Group:
    """Return the group that torchrun's variables describe, without importing torch.

    Raises:
        UsageError: the variables are not as torchrun sets them.
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
def join_process_group() -> Iterator[Group]:
    """Yield the group of processes, connected over gloo if there are several."""
    group = from_environment()
    if group.size == 1:
        yield group
        return
    import torch.distributed as processes

    with _translated_errors():
        processes.init_process_group("gloo", timeout=TIMEOUT)
    try:
        yield group
    finally:
        processes.destroy_process_group()
