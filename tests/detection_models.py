"""Small detectors of users, with weights constructed to detect the drawn shapes."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import torch
from torch import nn

FILE = str(Path(__file__))
SIDE, STRIDE, SHAPE = 96, 8, 20
POOL, WINDOW = 4, 9  # pooling size in pixels, and kernel size on the pooled map
CELLS = SIDE // STRIDE


def place_anchors() -> torch.Tensor:
    """Return corners [144, 4] of shape-sized squares, one per cell."""
    centres = torch.arange(CELLS) * STRIDE + POOL / 2  # of the windows
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    middle = torch.stack([x, y], -1).reshape(-1, 2)
    return torch.cat([middle - SHAPE / 2, middle + SHAPE / 2], 1)


def _fill_head(head: nn.Conv2d) -> None:
    """Set weights: high scores where a shape fills an anchor, deltas equal to its offset."""
    axis = POOL * (torch.arange(WINDOW) + 0.5 - WINDOW / 2)
    inside = ((axis[:, None].abs() < SHAPE / 2) & (axis.abs() < SHAPE / 2)).float()
    area = SHAPE**2 / POOL**2
    fullness = (2 * inside - 1) / area
    moments = axis.expand(WINDOW, WINDOW) / area / SHAPE
    with torch.no_grad():
        head.weight.zero_()
        head.bias.copy_(torch.tensor([0.0, -4, -4, 0, 0, 0, 0]))
        for colour in range(2):
            head.weight[1 + colour, colour] = 20 * fullness
            head.weight[3, colour], head.weight[4, colour] = 10 * moments, 10 * moments.T


class Shapes(nn.Module):
    """Detects red squares and green circles; outputs raw scores and deltas, as an SSD does."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 4, POOL, POOL), nn.ReLU())
        step = STRIDE // POOL
        self.head = nn.Conv2d(4, 7, WINDOW, step, WINDOW // 2)
        with torch.no_grad():
            self.stem[0].weight.mul_(0.01)
            self.stem[0].bias.zero_()
            colours = torch.tensor([[1.0, -1, -1], [-1, 1, -1]]) / POOL**2
            self.stem[0].weight[:2] = colours[..., None, None].expand(2, 3, POOL, POOL)
        _fill_head(self.head)
        self.detection = {
            "anchors": place_anchors(),
            "weights": (10, 10, 5, 5),
            "activation": "softmax",
            "background": 0,
        }

    def forward(self, x):
        table = self.head(self.stem(x)).flatten(2).transpose(1, 2)
        return {"scores": table[..., :3], "boxes": table[..., 3:], "features": x.mean()}


class Joined(Shapes):
    """Outputs one tensor [N, 4 + 2, 144] of boxes in pixels and probabilities, as YOLO does."""

    def __init__(self) -> None:
        super().__init__()
        del self.detection
        self.register_buffer("centres", (place_anchors()[:, :2] + SHAPE / 2).T.clone())

    def forward(self, x):
        table = self.head(self.stem(x)).flatten(2)
        middle = table[:, 3:5] * (SHAPE / 10) + self.centres
        size = torch.full_like(middle, SHAPE)
        return torch.cat([middle, size, table[:, 1:3].sigmoid()], 1), [table]


class Corners(Shapes):
    """Outputs scores and decoded boxes in coordinates relative to the picture's size."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("anchors", self.detection.pop("anchors"))
        self.detection = {"coding": "xyxy", "unit": "share", "candidates_of": "class"}

    def forward(self, x):
        table = self.head(self.stem(x)).flatten(2).transpose(1, 2)
        shift = (table[..., 3:5] * (SHAPE / 10)).repeat(1, 1, 2)
        return (self.anchors + shift) / SIDE, table[..., 1:3].sigmoid()


class Undescribed(Shapes):
    def __init__(self) -> None:
        super().__init__()
        del self.detection


class Misspelled(Shapes):
    def __init__(self) -> None:
        super().__init__()
        self.detection["variances"] = (0.1, 0.1, 0.2, 0.2)


class FewAnchors(Shapes):
    def __init__(self) -> None:
        super().__init__()
        self.detection["anchors"] = self.detection["anchors"][1:]


class Logits(Shapes):
    def forward(self, x):
        return super().forward(x)["scores"].mean(1)


class Levels(nn.Module):
    """A backbone of two levels, for torchvision's detectors."""

    out_channels = 8

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, 8, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())

    def forward(self, x):
        x = self.first(x)
        return OrderedDict([("0", x), ("1", self.second(x))])


def make_ssd():
    from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
    from torchvision.models.detection.ssd import SSD, SSDHead

    torch.manual_seed(0)
    anchors = DefaultBoxGenerator([[2], [2]], min_ratio=20, max_ratio=90)
    head = SSDHead([8, 8], anchors.num_anchors_per_location(), 4)
    mean, std = [0.5] * 3, [0.5] * 3
    model = SSD(Levels(), anchors, (SIDE, SIDE), 4, head=head, image_mean=mean, image_std=std)
    return _widen(model)


def make_retinanet():
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.retinanet import RetinaNet

    torch.manual_seed(0)
    anchors = AnchorGenerator(((16, 24), (32, 48)), ((0.5, 1.0, 2.0),) * 2)
    return _widen(RetinaNet(Levels(), 3, anchor_generator=anchors, topk_candidates=50))


def _widen(model: nn.Module) -> nn.Module:
    """Draw larger random weights for the heads, so that scores and boxes vary over the picture."""
    with torch.no_grad():
        for name, value in model.head.named_parameters():
            if name.endswith("weight"):
                value.normal_(0, 0.3)
            elif "cls" in name or "class" in name:
                value.zero_()
    return model.eval()


def make_two_stage():
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection.anchor_utils import AnchorGenerator

    anchors = AnchorGenerator(((16,), (32,)), ((1.0,),) * 2)
    return FasterRCNN(Levels(), 3, rpn_anchor_generator=anchors)
