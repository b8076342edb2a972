"""What an image processor of transformers does to pictures, as a `kit.models.interface.Spec`.

https://huggingface.co/docs/transformers/main_classes/image_processor
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kit.error_text import shorten_value
from kit.errors import RecipeError
from kit.manifest.preprocessing import Fit, Interpolation
from kit.models.interface import IMAGENET_MEAN, IMAGENET_STD
from kit.models.sourced import check_colors, find_interpolation

_RESAMPLING = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
# Processors whose steps are all in their settings: resize, centre crop, scale, normalize.
_PLAIN = {"ViT", "DeiT", "ConvNext", "MobileNetV1", "MobileNetV2", "Bit", "CLIP", "Siglip", "Beit"}
_CONVNEXT = "ConvNext"
_CONVNEXT_SQUARE = 384  # from this side on it squeezes pictures into a square
# Steps that change what a network sees in ways that no mean and deviation can express.
_REFUSED = {
    "do_flip_channel_order": "blue before red",
    "rescale_offset": "values below zero before they are normalized",
}


@dataclass(frozen=True)
class HfPreprocessing:
    """Preprocessing of a folder's model.

    Attributes:
        side: of the square input, in pixels.
        resize_ratio: shorter side after resizing, as a multiple of `side`.
        mean: per channel (RGB), subtracted after scaling to 0..1.
        std: per channel, divided by afterwards.
        fit: see `kit.manifest.preprocessing.Preprocessing`.
        interpolation: of the resize.
        deviations: what the processor does and kit does not.
    """

    side: int
    resize_ratio: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    fit: Fit = "shorter-side"
    interpolation: Interpolation = "bilinear-antialias"
    deviations: tuple[str, ...] = ()


def convert_settings(name: str, settings: Mapping[str, object]) -> HfPreprocessing:
    """Return the preprocessing that the settings of an image processor describe.

    Args:
        name: of the model, for messages.
        settings: the processor's `to_dict()`.

    Raises:
        RecipeError: kit's preprocessing cannot express them.
    """
    for key, what in _REFUSED.items():
        if settings.get(key):
            raise _refusal(name, f"{key} ({what})")
    factor = settings.get("rescale_factor", 1 / 255)
    if settings.get("do_rescale") is False or not _is_near(factor, 1 / 255):
        raise _refusal(name, f"pixels that are not scaled by 1/255 but by {shorten_value(factor)}")
    side, resize, squeezed = _sizes(name, settings)
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if settings.get("do_normalize", True):
        mean = _triple(name, settings.get("image_mean", IMAGENET_MEAN))
        std = _triple(name, settings.get("image_std", IMAGENET_STD))
    check_colors(name, mean, std)
    resample = settings.get("resample", 2)
    number = int(resample) if isinstance(resample, int) else -1
    interpolation, others = find_interpolation(
        _RESAMPLING.get(number, f"resampling {shorten_value(resample)}")
    )
    return HfPreprocessing(
        side,
        resize / side,
        mean,
        std,
        "stretch" if squeezed else "shorter-side",
        interpolation,
        (*others, *_deviations(settings)),
    )


def _deviations(settings: Mapping[str, object]) -> Iterator[str]:
    if settings.get("do_pad"):
        yield "padding"
    kind = _find_type(settings)
    if not kind:
        yield "unknown steps, because it has no image_processor_type"
    elif _kind(settings) not in _PLAIN:
        yield f"steps of its own, those of {shorten_value(kind)}"
    size = settings.get("size")
    shortest = size.get("shortest_edge") if isinstance(size, Mapping) else None
    if shortest and _kind(settings) != _CONVNEXT and not settings.get("do_center_crop"):
        yield f"inputs of any shape, whose shorter side has {shorten_value(shortest)} pixels"


def _find_type(settings: Mapping[str, object]) -> str:
    """Return the class of the processor; empty if the settings name none."""
    kind = settings.get("image_processor_type") or settings.get("feature_extractor_type")
    return str(kind or "")


def _kind(settings: Mapping[str, object]) -> str:
    text = _find_type(settings)
    for ending in ("Pil", "Fast"):
        text = text.removesuffix(ending)
    return text.removesuffix("ImageProcessor").removesuffix("FeatureExtractor")


def _sizes(name: str, settings: Mapping[str, object]) -> tuple[int, int, bool]:
    """Return side, shorter side after resizing, and whether pictures are squeezed."""
    size = settings.get("size")
    if not settings.get("do_resize", True) or size is None:
        raise _refusal(name, "pictures of any size, which are not resized")
    shortest = size.get("shortest_edge") if isinstance(size, Mapping) else size
    squeezed = shortest is None
    if squeezed:
        shortest = _square(name, size)
    if not isinstance(shortest, int) or shortest < 1:
        raise _refusal(name, f"the size {shorten_value(size)}")
    if _kind(settings) == _CONVNEXT and not squeezed:
        fraction = settings.get("crop_pct")
        if shortest >= _CONVNEXT_SQUARE:
            return shortest, shortest, True
        if not isinstance(fraction, float) or not 0 < fraction <= 1:
            raise _refusal(name, f"crop_pct {shorten_value(fraction)}")
        return shortest, int(shortest / fraction), False
    if not settings.get("do_center_crop"):
        # Without a crop the input is not square, unless pictures are squeezed.
        return shortest, shortest, True
    crop = _square(name, settings.get("crop_size", size))
    if crop > shortest:
        raise _refusal(name, f"a crop of {crop} from {shortest} pixels, with a border")
    return crop, shortest, squeezed


def _square(name: str, size: object) -> int:
    if isinstance(size, Mapping):
        sides = {size.get("height"), size.get("width")}
        size = sides.pop() if len(sides) == 1 else None
    if not isinstance(size, int) or size < 1:
        raise _refusal(name, "an input that is not square")
    return size


def _triple(name: str, values: object) -> tuple[float, float, float]:
    if isinstance(values, int | float):
        values = (values,) * 3
    if isinstance(values, list | tuple) and len(values) == 3:
        red, green, blue = values
        if all(isinstance(value, int | float) for value in values):
            return float(red), float(green), float(blue)
    raise _refusal(name, f"the mean or deviation {shorten_value(values)}")


def _is_near(value: object, wanted: float) -> bool:
    return isinstance(value, int | float) and math.isclose(value, wanted, rel_tol=1e-6)


def _refusal(name: str, what: str) -> RecipeError:
    return RecipeError(
        f"the image processor of {name} wants {what}, which preprocessing of hf: models cannot do",
        "use a network of your own, FILE.py:FACTORY, which has more options",
    )
