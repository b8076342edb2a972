"""Networks and samples for the task tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

FILE = str(Path(__file__))


class Two(nn.Module):
    """Two inputs and two outputs; one of each holds integers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.out = nn.Embedding(50, 16), nn.Linear(32, 5)
        self.a, self.b = nn.Linear(16, 32), nn.Linear(8, 32)

    def forward(self, ids, features):
        hidden = torch.relu(self.a(self.embed(ids).mean(1)) + self.b(features))
        return self.out(hidden), hidden.argmax(1)


class Planes(nn.Module):
    """Four channels in, two out, not square."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(8, 2, 1)

    def forward(self, x):
        return self.last(torch.relu(self.first(x)))


class Recurrent(nn.Module):
    """A state whose batch is not its first dimension."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lstm, self.out = nn.LSTM(6, 8), nn.Linear(8, 3)

    def forward(self, x, h, c):
        y, (h, c) = self.lstm(x, (h, c))
        return self.out(y[-1]), h, c


class Cell(nn.Module):
    """A streaming network: takes a frame and a state, returns a score and the next state."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.take, self.keep, self.out = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, x, hidden):
        hidden = torch.tanh(self.take(x) + 0.9 * self.keep(hidden) + hidden)
        return self.out(hidden), hidden


class Named(nn.Module):
    def forward(self, x):
        return {"a": x}


class Spectrum(Planes):
    def forward(self, x):
        return torch.fft.fft(super().forward(x))


class Overwriting(nn.Module):
    def forward(self, x):
        return x.mul_(2)


def draw(name: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the arrays of one sample."""
    noise = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    if name == "Two":
        return {"ids": rng.integers(0, 50, (1, 7)), "features": noise(1, 8)}
    if name == "Recurrent":
        return {"x": noise(5, 1, 6), "h": noise(1, 1, 8), "c": noise(1, 1, 8)}
    return {"x": noise(1, 4, 12, 10)}


def write_samples(folder: Path, name: str, count: int = 12) -> Path:
    """Write samples of a network of this file."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        np.savez(folder / f"{number:03}.npz", **draw(name, rng))
    return folder
