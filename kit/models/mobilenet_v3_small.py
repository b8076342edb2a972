"""MobileNetV3-Small (Howard et al., arXiv 1905.02244), as torchvision has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.models.interface import ModelFamily, Official, Spec

if TYPE_CHECKING:
    from torch import nn

_SPEC = Spec(
    summary="MobileNetV3-Small: searched, squeeze-and-excite, hard-swish (arXiv 1905.02244)",
    weights=Official(  # MobileNet_V3_Small_Weights.IMAGENET1K_V1
        file="mobilenet_v3_small-047dcff4.pth",
        url="https://download.pytorch.org/models/mobilenet_v3_small-047dcff4.pth",
        sha256="047dcff4",
        accuracy=67.668,
    ),
)


def build(width: float, classes: int) -> nn.Module:
    """Return the network with random weights, in eval mode."""
    import torchvision

    model: nn.Module = torchvision.models.mobilenet_v3_small(
        weights=None, width_mult=width, num_classes=classes
    )
    return model.eval()


FAMILY = ModelFamily("mobilenet_v3_small", _SPEC, build)
