"""Networks whose inputs are not RGB from 0 to 1 with channels first."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

FILE = str(Path(__file__))


def _make_net(channels: int) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(channels, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU6(), nn.Conv2d(8, 16, 1)]
    return nn.Sequential(*layers, nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Last(nn.Module):
    """Caffe-style input: BGR from 0 to 255 minus a mean, channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.head = _make_net(3), nn.Linear(16, 5)
        with torch.no_grad():
            self.head.weight.mul_(4)

    def forward(self, x):
        return self.head(self.net(x.permute(0, 3, 1, 2) / 64))


class Grey(nn.Module):
    """Input with one channel."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.head = _make_net(1), nn.Linear(16, 5)
        with torch.no_grad():
            self.head.weight.mul_(4)

    def forward(self, x):
        return self.head(self.net(x))
