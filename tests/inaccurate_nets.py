"""Networks of a few layers of which int8 hurts one, and samples for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn


class Uneven(nn.Module):
    """The first layer reads a channel whose values are 1/200 of the others'.

    Its weights for that channel are 200 times the others. So its weights and its input
    have one scale for two sizes each, and no correction can change the size of an input.
    """

    def __init__(self, factor: float = 200.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(2, 8, 3, bias=False)
        self.body = nn.Conv2d(8, 8, 3, bias=False)
        self.last = nn.Linear(8, 4, bias=False)
        with torch.no_grad():
            self.stem.weight[:, 0] *= factor

    def forward(self, x):
        y = torch.relu(self.body(torch.relu(self.stem(x))))
        return self.last(y.mean((2, 3)))


class Magnitude(nn.Module):
    """Squares, their sum and its root: as in a spectrogram, where small values matter."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.bank, self.last = nn.Conv2d(2, 8, 3), nn.Conv2d(4, 4, 1, bias=False)
        with torch.no_grad():  # bands of very different powers, which the last layer makes equal
            powers = torch.tensor([1.0, 0.5, 0.25, 0.1])
            self.bank.weight.mul_(powers.repeat(2)[:, None, None, None])
            self.bank.bias.zero_()
            self.last.weight.copy_(torch.diag(1 / powers)[:, :, None, None])

    def forward(self, x):
        y = self.bank(x)
        real, imaginary = y[:, :4], y[:, 4:]
        return self.last((real * real + imaginary * imaginary).sqrt())


class Sound(nn.Module):
    """The same trouble in a layer that cannot stay float."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.last = nn.Conv1d(2, 8, 3, bias=False), nn.Conv2d(8, 4, 1, bias=False)
        with torch.no_grad():
            self.stem.weight[:, 0] *= 60

    def forward(self, x):
        return self.last(torch.relu(self.stem(x.flatten(2))).unsqueeze(2))


class Two(nn.Module):
    """Two inputs, of which the second has other shapes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.out = nn.Linear(6, 8), nn.Linear(3, 8), nn.Linear(8, 4)

    def forward(self, x, y):
        hidden = torch.relu(self.a(x)) + torch.relu(self.b(y))
        return self.out(hidden), hidden


def uneven():
    """Return the network with a layer that int8 destroys."""
    return Uneven().eval()


def even():
    """Return the same network without the large weights."""
    return Uneven(1.0).eval()


def sound():
    """Return a network with a layer that int8 destroys and that cannot stay float."""
    return Sound().eval()


def inputs(count: int, factor: float = 200.0):
    """Return samples [count, 2, 12, 12], the first channel divided by a factor."""
    values = np.random.default_rng(0).normal(size=(count, 2, 12, 12)).astype(np.float32)
    values[:, 0] /= factor
    return values


def write(folder: Path, factor: float = 200.0) -> str:
    """Write samples, and return their folder."""
    folder.mkdir()
    for number, values in enumerate(inputs(24, factor)):
        np.savez(folder / f"{number:02}.npz", x=values[None])
    return str(folder)
