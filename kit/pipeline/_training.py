"""Quantization-aware training of the corrected float model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.pipeline._work import Work

if TYPE_CHECKING:
    from torch import nn
    from torch.fx import GraphModule

    from kit.pipeline._work import Array


def train(work: Work, teacher: nn.Module, folded: GraphModule, images: Array) -> None:
    """Train `folded` in place and record what that did."""
    raise NotImplementedError
