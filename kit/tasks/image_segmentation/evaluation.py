"""Pictures to evaluate a segmentation on, and their masks.

    pictures/street/001.jpg     masks/street/001.png

A mask has the name of its picture, except for the suffix. It is a PNG whose pixels are indices
of classes, in one channel or by a palette; `kit.images.masks.choose_ignored` is of no class.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from kit.error_text import shorten_value
from kit.errors import PictureError
from kit.images import Picture, decode, hash_picture, open_set, to_array
from kit.images.masks import Mask, choose_ignored, decode_mask
from kit.images.missing import make_missing_error
from kit.images.resizing import compute_resized_size, resize_and_crop
from kit.manifest.preprocessing import Preprocessing
from kit.notices import Notice
from kit.signature import Samples
from kit.tasks._matching import check_unshared, match_names
from kit.tasks.evaluation import EvaluationContext, EvaluationSet
from kit.tasks.image_classification.evaluation import Pictures, open_pictures

if TYPE_CHECKING:
    from PIL.Image import Image

_ROUNDING = 1  # pixels by which the sizes of two pictures of one shape may differ when resized


@dataclass(frozen=True)
class MaskedPictures(EvaluationSet):
    """Pictures, all with masks or all without.

    Attributes:
        pictures: not yet decoded.
        masks: of the pictures; None if there are none.
        classes: of the model.
    """

    source: str
    sha256: str
    left_out: int
    notices: tuple[Notice, ...]
    pictures: Pictures
    masks: tuple[Picture, ...] | None
    classes: int

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def labelled(self) -> bool:
        """Return whether the pictures have masks."""
        return self.masks is not None

    def load(self, start: int, stop: int) -> tuple[Samples, Sequence[Mask | None]]:
        """Return pictures [N, 3, H, W] and their masks [H, W]."""
        if self.masks is None:
            samples, _ = self.pictures.load(start, stop)
            return samples, [None] * len(samples)
        pre = self.pictures.preprocessing
        inputs, masks = [], []
        pairs = zip(self.pictures.pictures, self.masks, strict=True)
        for picture, mask in list(pairs)[start:stop]:
            image = decode(picture.read(), picture.name)
            inputs.append(to_array(image, pre, picture.name))
            indices = decode_mask(mask.read(), mask.name)
            masks.append(_place(indices, image, pre, mask.name, picture.name))
            _check_classes(masks[-1], self.classes, mask.name)
        return Samples(self.pictures.specs, (np.stack(inputs),)), masks


def open_masked(
    context: EvaluationContext, source: Path, labels: Path | None, limit: int | None
) -> MaskedPictures:
    """Open pictures without those that calibrated, reduced to the limit, with their masks.

    Args:
        context: of the evaluation.
        source: folder or zip of pictures.
        labels: folder or zip of masks; None for none.
        limit: number of pictures; None for all.

    Raises:
        UsageError: the limit leaves no picture.
        PictureError: the set cannot be used, or a picture has no mask.
    """
    pictures = open_pictures(replace(context, labelled=False), source, None, limit)
    masks = None
    if context.labelled and labels is not None:
        masks = _find_masks(pictures.pictures, labels, pictures.left_out)
    digests = [pictures.sha256, *(map(hash_picture, masks) if masks else ())]
    return MaskedPictures(
        pictures.source,
        pictures.sha256
        if masks is None
        else hashlib.sha256("\n".join(digests).encode()).hexdigest(),
        pictures.left_out,
        pictures.notices,
        pictures,
        masks,
        context.inputs.classes,
    )


def _find_masks(pictures: Sequence[Picture], folder: Path, left_out: int) -> tuple[Picture, ...]:
    found = open_set(folder, None, (), kind="masks")
    listed = [mask for mask in found if mask.name.lower().endswith(".png")]
    masks = {_stem(mask.name): mask for mask in listed}
    if len(masks) < len(listed):
        twice = next(mask for mask in listed if masks[_stem(mask.name)] is not mask)
        raise PictureError(
            f"{folder} has two masks called {shorten_value(_stem(twice.name))}", "keep one of them"
        )
    names = match_names([_stem(picture.name) for picture in pictures], list(masks))
    missing = [p.name for p, name in zip(pictures, names, strict=True) if name is None]
    if missing:
        raise make_missing_error(
            missing,
            len(pictures),
            f"no mask in {folder}",
            f"a mask has its picture's name: {_stem(missing[0])}.png; or leave out --labels",
            left_out=left_out,
        )
    chosen = [masks[name] for name in names if name is not None]
    check_unshared([picture.name for picture in pictures], [mask.name for mask in chosen])
    return tuple(chosen)


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _place(indices: Image, image: Image, pre: Preprocessing, mask: str, picture: str) -> Mask:
    """Return a mask as the picture is resized and cropped, each pixel from the nearest one."""
    size = compute_resized_size(image.size, pre, picture)
    own = compute_resized_size(indices.size, pre, mask)
    if any(abs(a - b) > _ROUNDING for a, b in zip(size, own, strict=True)):
        raise PictureError(
            f"the mask {mask} has {indices.width}x{indices.height} pixels and its picture "
            f"{picture} {image.width}x{image.height}, which is another shape",
            "a mask covers all of its picture",
        )
    return np.asarray(resize_and_crop(indices, pre, size, nearest=True)).astype(np.int64)


def _check_classes(mask: Mask, classes: int, name: str) -> None:
    ignored = choose_ignored(classes)
    wrong = mask[(mask != ignored) & ((mask < 0) | (mask >= classes))]
    if wrong.size:
        raise PictureError(
            f"the mask {name} has the class {wrong[0]}, but the model has the classes 0 to "
            f"{classes - 1}, and {ignored} for pixels of none",
            "save the indices of the model's own classes",
        )
