"""The pictures that every runtime has to answer like the workstation did.

They are crops of sample photos. Many crops show nothing in particular, and int8
arithmetic breaks such near ties at random; so the ones that the float model is surest of
are taken, no more than a few per answer. On these a healthy model agrees nearly always,
and a ruined one does not.
"""

from __future__ import annotations

import numpy as np

from kit.signature import AnyArray

IMAGES = 16
CANDIDATES = 96
PER_ANSWER = 4


def select_surest(logits: AnyArray) -> list[int]:
    """Return the rows with the largest lead of the first answer, in their old order.

    Args:
        logits: [N, classes].
    """
    ranked = np.sort(logits, axis=1)
    order = np.argsort(ranked[:, -2] - ranked[:, -1], kind="stable")
    taken: list[int] = []
    seen: dict[int, int] = {}
    for row in order.tolist():
        answer = int(logits[row].argmax())
        if seen.get(answer, 0) < PER_ANSWER:
            seen[answer] = seen.get(answer, 0) + 1
            taken.append(row)
    rest = [row for row in order.tolist() if row not in taken]
    return sorted((taken + rest)[:IMAGES])
