"""In which order targets take their turns."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

_SEED = 0


def rounds(targets: Sequence[T]) -> Iterator[list[T]]:
    """Yield the targets round by round without end: there and back, A B B A or B A A B.

    What drifts with time cancels out of the two rounds. Who begins is drawn by lot for each
    two but the first: where A B B A A B B A never changes, a spell of other work as long as
    two processes hits one target in two rounds running, and on a busy host 9 to 11 in 100
    comparisons of ten pairs called a bundle different from itself, against 2 to 4 by lot. The
    lot is the same each time.
    """
    lot = random.Random(_SEED)  # noqa: S311  # no secret
    there = list(targets)
    while True:
        yield there
        yield there[::-1]
        there = lot.sample(there, len(there))
