"""The pictures that every runtime has to answer like the workstation did.

They are crops of sample photos. Many crops show nothing in particular, and int8
arithmetic breaks such near ties at random; so the ones that the float model is surest of
are taken, no more than a few per answer. On these a healthy model agrees nearly always,
and a ruined one does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kit.errors import WeightsError
from kit.manifest import Preprocessing

if TYPE_CHECKING:
    from torch import nn

IMAGES = 16
CANDIDATES = 96
PER_ANSWER = 4

Array = NDArray[np.float32]


def choose(model: nn.Module, preprocessing: Preprocessing) -> tuple[Array, Array]:
    """Return golden inputs [16, 3, H, W] and the float model's logits for them.

    Raises:
        WeightsError: a logit is not a finite number.
    """
    from kit.images import photos

    inputs = photos.golden(CANDIDATES, preprocessing)
    logits = answers(model, inputs)
    chosen = surest(logits)
    return np.ascontiguousarray(inputs[chosen]), logits[chosen]


def answers(model: nn.Module, inputs: Array) -> Array:
    """Return a float model's logits [N, classes] for inputs [N, 3, H, W].

    Raises:
        WeightsError: a logit is not a finite number, though the weights are.
    """
    import torch

    with torch.inference_mode():  # a copy: a model may write into its input
        parts = [model(part) for part in torch.from_numpy(inputs.copy()).split(8)]
    logits: Array = torch.cat(parts).numpy()
    broken = int((~np.isfinite(logits).all(1)).sum())
    if broken:
        raise WeightsError(
            f"the float model answers {broken} of {len(logits)} pictures with NaN or infinity",
            "its weights are too large, or a BatchNorm has a negative variance: train it again",
        )
    return logits


def surest(logits: Array) -> list[int]:
    """Return the rows with the largest lead of the first answer, in their old order."""
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
