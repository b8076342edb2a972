"""The classes of a picture's pixels, in words and as a mask."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kit.images.masks import choose_ignored
from kit.images.preprocess import to_pixels
from kit.signature import Samples
from kit.tasks.answers import AnswerContext, ShownAnswer
from kit.tasks.image_segmentation.tally import resize_logits

if TYPE_CHECKING:
    from PIL.Image import Image

MASK, OVERLAY = "mask", "overlay"
_PALETTE_SIZE = 256  # indices of a mask in PNG with a palette, of which one is of no class
_OPACITY = 0.5  # of the colours on the picture


def show_classes(answer: Samples, context: AnswerContext) -> ShownAnswer:
    """Return the shares of pixels of the classes, the largest first.

    A pixel is one of the network's map, which may be smaller than the picture.
    """
    predicted = answer.arrays[0][0].argmax(0)
    counts = np.bincount(predicted.reshape(-1), minlength=context.inputs.classes)
    order = np.argsort(-counts, kind="stable")
    best = [int(index) for index in order[: context.top] if counts[index]]
    names = context.inputs.labels
    classes = [
        {
            "index": index,
            "label": names[index] if names else f"#{index}",
            "share": float(counts[index] / predicted.size),
        }
        for index in best
    ]
    lines = [
        f"{100 * counts[i] / predicted.size:5.1f} %  {names[i] if names else f'#{i}'}" for i in best
    ]
    record = {"classes": classes, "map": list(predicted.shape)}
    if context.reference is None:
        return ShownAnswer(tuple(lines), record)
    same = float((predicted == context.reference.arrays[0][0].argmax(0)).mean())
    lines.append(f"{100 * same:5.1f} %  of pixels as float")
    return ShownAnswer(tuple(lines), {**record, "agreement": same})


def draw_mask(answer: Samples, sample: Samples, context: AnswerContext) -> Mapping[str, bytes]:
    """Return the class of each pixel of the input as PNG, and its colours on the picture.

    The mask is what `kit eval --labels` takes: indices, with a palette up to 255 classes.
    """
    from PIL import Image as Pillow

    preprocessing = context.inputs.preprocessing
    assert preprocessing is not None  # tasks of pictures have it
    indices = resize_logits(answer.arrays[0][0], preprocessing.sides).argmax(0)
    if choose_ignored(context.inputs.classes) >= _PALETTE_SIZE:
        return {MASK: _encode(Pillow.fromarray(indices.astype(np.uint16)))}
    mask = Pillow.fromarray(indices.astype(np.uint8))
    mask.putpalette(choose_colours().reshape(-1).tolist())
    picture = Pillow.fromarray(to_pixels(sample.arrays[0][0], preprocessing))
    overlay = Pillow.blend(picture, mask.convert("RGB"), _OPACITY)
    return {MASK: _encode(mask), OVERLAY: _encode(overlay)}


def choose_colours() -> NDArray[np.uint8]:
    """Return a colour of each class, [256, 3], as Pascal VOC has them: class 0 is black.

    Bits 0, 1 and 2 of the class become the highest bit of red, green and blue, the next three
    the second highest, and so on.
    """
    classes = np.arange(_PALETTE_SIZE)
    colours = np.zeros((_PALETTE_SIZE, 3), np.int64)
    for level in range(3):
        for channel in range(3):
            colours[:, channel] |= (classes >> (3 * level + channel) & 1) << (7 - level)
    return colours.astype(np.uint8)


def _encode(image: Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
