"""Modules for torch.jit.script, which cannot read annotations that are text."""

import torch
from torch import nn


class Branching(nn.Module):
    """A branch on values, and a list of the last three answers."""

    history: list[torch.Tensor]

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.low, self.high = nn.Linear(4, 4), nn.Linear(4, 4)
        self.history = []

    def forward(self, x):
        answer = self.high(x) if bool(x.sum() > 0) else self.low(x) - 1
        self.history.append(answer)
        if len(self.history) > 3:
            self.history.pop(0)
        total = answer
        for earlier in self.history:
            total = total + earlier
        return total


class Undecidable(nn.Module):
    """A branch on values, in Python that no compiler accepts."""

    def forward(self, x, *rest):
        return x + 1 if bool(x.sum() > 0) else x - 1


class Straight(nn.Module):
    """Control flow independent of the input, in Python that torch.jit.script rejects."""

    def forward(self, x, *rest):
        return {"y": x * 2}["y"]
