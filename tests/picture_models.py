"""Small networks for the picture tasks, with clear margins between their answers."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import interpolate, normalize

FILE = str(Path(__file__))


def _colours(out: int) -> nn.Conv2d:
    """Return a layer whose channels are brightness differences of the colours."""
    layer = nn.Conv2d(8, out, 1)
    with torch.no_grad():
        layer.weight.mul_(4)
    return layer


class Maps(nn.Module):
    """Three classes at half of the resolution."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.head = _colours(3)

    def forward(self, x):
        return self.head(self.stem(x))


class Named(Maps):
    """Returns a dict like torchvision's networks: at the input's size, with an auxiliary head."""

    def __init__(self) -> None:
        super().__init__()
        self.aux = nn.Conv2d(8, 3, 1)

    def forward(self, x):
        size, y = x.shape[-2:], self.stem(x)
        out = interpolate(self.head(y), size=size, mode="bilinear", align_corners=False)
        return OrderedDict(aux=self.aux(y), out=out)


class Vector(Maps):
    """Sixteen numbers of length one."""

    def __init__(self) -> None:
        super().__init__()
        self.head = _colours(16)

    def forward(self, x):
        return normalize(self.head(self.stem(x)).mean((2, 3)), dim=1)


class Flat(Maps):
    """A vector of pictures of 64 by 64, through a layer that takes no other."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8 * 32 * 32, 4)

    def forward(self, x):
        return self.head(self.stem(x).flatten(1))


class OtherNames(Maps):
    def forward(self, x):
        return {"mask": super().forward(x)}


class Single(Maps):
    def forward(self, x):
        return super().forward(x)[:, :1]


def torchvision_lraspp():
    from torchvision.models.segmentation import lraspp_mobilenet_v3_large

    torch.manual_seed(0)
    return lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=5)
