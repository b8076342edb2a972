"""Networks of a few layers, for builds whose network does not matter."""

import torch
from torch import nn


def make() -> nn.Module:
    torch.manual_seed(1)
    layers = [nn.Conv2d(3, 8, 3, 2, bias=False), nn.BatchNorm2d(8), nn.ReLU6()]
    layers += [nn.Conv2d(8, 8, 3), nn.ReLU6(), nn.Conv2d(8, 16, 1), nn.ReLU6()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 7))


def make_probable() -> nn.Module:
    """The same network with a softmax at its end."""
    return nn.Sequential(make(), nn.Softmax(1))


def make_separable() -> nn.Module:
    """A depthwise convolution between others, and two without an activation between them."""
    torch.manual_seed(1)
    layers = [nn.Conv2d(3, 8, 3, 2), nn.ReLU6(), nn.Conv2d(8, 8, 3, groups=8), nn.ReLU6()]
    layers += [nn.Conv2d(8, 8, 1), nn.ReLU6(), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 16, 1), nn.ReLU6()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 7))
