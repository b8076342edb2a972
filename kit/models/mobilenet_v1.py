"""MobileNetV1 (Howard et al., arXiv 1704.04861), after Table 1 of the paper."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from kit.models.interface import ModelFamily, Spec

if TYPE_CHECKING:
    from torch import nn

_SPEC = Spec(summary="MobileNetV1: depthwise separable convolutions (arXiv 1704.04861)")

STEM = 32
# Output channels and stride of each depthwise separable convolution. The table has stride 2 for
# the last one too, which is a misprint: its input and its output are both 7 x 7.
BLOCKS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *[(512, 1)] * 5,
    (1024, 2),
    (1024, 1),
)
MIN_CHANNELS = 8  # at small widths, as in the authors' code


def build(width: float, classes: int) -> nn.Module:
    """Return the network with random weights, in eval mode."""
    from torch import nn

    channels = _scaled(STEM, width)
    features: list[nn.Module] = [_convolution(3, channels, kernel=3, stride=2)]
    for base_channels, stride in BLOCKS:
        following = _scaled(base_channels, width)
        features.append(_separable(channels, following, stride))
        channels = following
    model = nn.Sequential(
        OrderedDict(
            features=nn.Sequential(*features),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            classifier=nn.Linear(channels, classes),
        )
    )
    _initialize(model)
    return model.eval()


def _scaled(channels: int, width: float) -> int:
    """Return the channels of a layer under the width multiplier (section 3.3)."""
    return max(MIN_CHANNELS, int(channels * width))


def _separable(inputs: int, outputs: int, stride: int) -> nn.Module:
    """Return a depthwise 3x3 and a pointwise 1x1 convolution (figure 3, right)."""
    from torch import nn

    return nn.Sequential(
        OrderedDict(
            depthwise=_convolution(inputs, inputs, kernel=3, stride=stride, groups=inputs),
            pointwise=_convolution(inputs, outputs, kernel=1),
        )
    )


def _convolution(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Module:
    from torch import nn

    padding = (kernel - 1) // 2
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _initialize(model: nn.Module) -> None:
    """Initialize the weights as torchvision does for MobileNetV2 and V3."""
    from torch import nn

    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, 0.01)
            nn.init.zeros_(module.bias)


FAMILY = ModelFamily("mobilenet_v1", _SPEC, build)
