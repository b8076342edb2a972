"""A small network whose accuracy suffers in int8, and random pictures for it."""

from __future__ import annotations

import numpy as np

SIDE, CLASSES = 32, 10


def net():
    """Return an untrained network like a MobileNet: ReLU6, depthwise, an addition, a classifier."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.expand = nn.Sequential(nn.Conv2d(8, 24, 1), nn.ReLU6(inplace=True))
            self.filter = nn.Sequential(nn.Conv2d(24, 24, 3, 1, 1, groups=24), nn.ReLU6())
            self.project = nn.Conv2d(24, 8, 1)

        def forward(self, x):
            return x.add_(self.project(self.filter(self.expand(x))))

    torch.manual_seed(7)
    stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU6(inplace=True))
    head = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, CLASSES))
    model = nn.Sequential(stem, Block(), Block(), *head).eval()
    with torch.no_grad():  # otherwise the logits hardly depend on the picture
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.weight.mul_(3)
    return model


def damaged():
    """Return the network with one channel of a layer scaled by a thousand.

    The next layer's weights are divided by the same factor, so float answers are unchanged.
    """
    import torch

    model = net()
    first, second = model[1].filter[0], model[1].project
    model[1].filter[1] = torch.nn.ReLU()  # a clip at 6 would hide the channel
    with torch.no_grad():
        first.weight[0] *= 1000
        first.bias[0] *= 1000
        second.weight[:, 0] /= 1000
    return model


def pictures(count: int, seed: int = 0):
    """Return smooth random pictures [count, 3, 32, 32]."""
    import torch

    coarse = np.random.default_rng(seed).normal(size=(count, 3, 8, 8)).astype(np.float32)
    return torch.nn.functional.interpolate(
        torch.from_numpy(coarse), size=(SIDE, SIDE), mode="bilinear"
    )


def case(model, granularity: str = "per-tensor", labelled: bool = False):
    """Return the inputs of an analysis: 16 pictures for calibration, 48 for measuring."""
    import torch

    from kit.analysis.case import Case

    judged = pictures(48, seed=1)
    with torch.no_grad():
        reference = model(judged).numpy()
    labels = reference.argmax(1) if labelled else None
    return Case(pictures(16), judged, reference, granularity, 1.25, 2.0, labels)
