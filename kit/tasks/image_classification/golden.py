"""Select the golden inputs, whose answers are compared between runtimes.

They are crops of sample photos. Many crops show nothing in particular: their largest logits are
nearly equal, and int8 arithmetic changes their order at random. So the crops with the largest
margin are selected, a few per answer. A sound model gives the same answers to nearly all of
them, and a damaged one does not.
"""

from __future__ import annotations

import numpy as np

from kit.signature import AnyArray

IMAGES = 16
CANDIDATES = 96
PER_ANSWER = 4


def select_surest(logits: AnyArray) -> list[int]:
    """Return the rows with the largest margin between the top two logits, in ascending order.

    Rows of the same answer are limited to `PER_ANSWER`, unless there are too few others. Those of
    a model with one class have no margin: the first ones are selected.

    Args:
        logits: [N, classes].
    """
    top = np.sort(logits, axis=1)[:, -2:]
    order = np.argsort(top[:, 0] - top[:, -1], kind="stable")
    chosen: list[int] = []
    seen: dict[int, int] = {}
    for row in order.tolist():
        answer = int(logits[row].argmax())
        if seen.get(answer, 0) < PER_ANSWER:
            seen[answer] = seen.get(answer, 0) + 1
            chosen.append(row)
    rest = [row for row in order.tolist() if row not in chosen]
    return sorted((chosen + rest)[:IMAGES])
