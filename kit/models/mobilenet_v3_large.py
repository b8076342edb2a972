"""MobileNetV3-Large (Howard et al., arXiv 1905.02244), as torchvision has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.models.interface import ModelFamily, Official, Spec

if TYPE_CHECKING:
    from torch import nn

_SPEC = Spec(
    summary="MobileNetV3-Large: searched, squeeze-and-excite, hard-swish (arXiv 1905.02244)",
    weights=Official(  # MobileNet_V3_Large_Weights.IMAGENET1K_V2, torchvision's default
        file="mobilenet_v3_large-5c1a4163.pth",
        url="https://download.pytorch.org/models/mobilenet_v3_large-5c1a4163.pth",
        sha256="5c1a4163",
        accuracy=75.274,
    ),
    resize_ratio=232 / 224,  # as these weights were evaluated
)


def build(width: float, classes: int) -> nn.Module:
    """Return the network with random weights, in eval mode."""
    import torchvision

    model: nn.Module = torchvision.models.mobilenet_v3_large(
        weights=None, width_mult=width, num_classes=classes
    )
    return model.eval()


FAMILY = ModelFamily("mobilenet_v3_large", _SPEC, build)
