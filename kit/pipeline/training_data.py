"""The pictures of quantization-aware training: held-out split, order and augmentation.

The batch of a step depends on seed and step only: each epoch has its own order, and each
picture its own random crop and mirroring. So a resumed training, or one in several processes,
uses the same batches as an uninterrupted one in one process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kit.quantize.training import Batch

if TYPE_CHECKING:
    from torch import Tensor


MAX_HELD = 32  # held-out pictures; never more than a quarter of all
# With fewer, nothing is held out: a sign test of two pictures can never be significant.
MIN_PICTURES = 12
VIEWS = 2  # of each held-out picture: unchanged and mirrored
MIN_CROP = 0.7  # area of a crop, as a share of the picture
MAX_ASPECT = 4 / 3  # of a crop, or its inverse

_SPLIT, _ORDER, _TRAIN = range(3)  # streams of random numbers


def split(count: int, seed: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the indices of `count` pictures to hold out, and of those to train with."""
    order = np.random.default_rng((seed, _SPLIT)).permutation(count).tolist()
    held = min(MAX_HELD, count // 4) if count >= MIN_PICTURES else 0
    return tuple(sorted(order[:held])), tuple(sorted(order[held:]))


@dataclass(frozen=True)
class TrainingData:
    """Pictures to train with.

    Attributes:
        source: name for messages.
        digests: SHA-256 of each of the user's pictures.
        held: indices of the held-out pictures; empty if there are too few.
        seen: indices of the pictures to train with.
        labelled: whether every picture has a label.
        read: returns a picture [3, H, W] and its label.
        seed: of orders and crops.
    """

    source: str
    digests: tuple[str, ...]
    held: tuple[int, ...]
    seen: tuple[int, ...]
    labelled: bool
    read: Callable[[int], tuple[Tensor, int | None]]
    seed: int

    def step(self, step: int, size: int, part: slice) -> Batch:
        """Return a process's part of the `size` pictures of a step."""
        places = range(step * size, (step + 1) * size)[part]
        orders = {p // len(self.seen): self._order(p // len(self.seen)) for p in places}
        chosen = [orders[p // len(self.seen)][p % len(self.seen)] for p in places]
        return self._batch(chosen, [(self.seed, _TRAIN, place) for place in places])

    def held_out_batch(self) -> Batch:
        """Return the held-out pictures, all unchanged and then all mirrored.

        They are not cropped like those for training, as cropping is not part of inference.
        """
        import torch

        pictures = self.held or self.seen
        batch = self._batch(list(pictures), [None] * len(pictures))
        labels = None if batch.labels is None else torch.cat([batch.labels, batch.labels])
        return Batch(torch.cat([batch.images, batch.images.flip(3)]), labels)

    def _order(self, epoch: int) -> list[int]:
        order = np.random.default_rng((self.seed, _ORDER, epoch)).permutation(len(self.seen))
        return [self.seen[i] for i in order]

    def _batch(self, indices: Sequence[int], draws: Sequence[tuple[int, ...] | None]) -> Batch:
        import torch

        pairs = [self.read(index) for index in indices]
        views = [
            image
            if draw is None
            else augment_picture(image, np.random.default_rng(draw).random(5).tolist())
            for (image, _), draw in zip(pairs, draws, strict=True)
        ]
        labels = torch.tensor([label for _, label in pairs]) if self.labelled else None
        return Batch(torch.stack(views), labels)


def augment_picture(image: Tensor, draws: Sequence[float]) -> Tensor:
    """Return a resized crop of a picture [3, H, W], mirrored or not; five draws from 0..1."""
    from torch.nn import functional

    height, width = image.shape[1:]
    share = MIN_CROP + (1 - MIN_CROP) * draws[0]
    aspect = MAX_ASPECT ** (2 * draws[1] - 1)
    rows = max(1, min(height, round(height * (share / aspect) ** 0.5)))
    columns = max(1, min(width, round(width * (share * aspect) ** 0.5)))
    top, left = round((height - rows) * draws[2]), round((width - columns) * draws[3])
    crop = image[None, :, top : top + rows, left : left + columns]
    resized: Tensor = functional.interpolate(crop, (height, width), mode="bilinear")[0]
    return resized.flip(2) if draws[4] < 0.5 else resized
