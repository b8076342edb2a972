"""Preprocessing of pictures by a word or a file: ``--preprocess torchvision|timm|keras|FILE``.

    torchvision     shorter side to 256/224 of the crop, bilinear; ImageNet's mean and deviation
    timm            to floor(crop / 0.875), bicubic; ImageNet's mean and deviation
    keras           stretched to the input, nearest pixel (`keras.utils.load_img`), -1..1
    keras:torch     the same, normalized as `keras.applications` of DenseNet and others
    keras:caffe     the same, of ResNet and VGG: BGR of 0..255 minus the mean
    FILE            JSON: the ``preprocessor_config.json`` of transformers, the ``config.json`` of
                    timm on the Hugging Face hub, or a bundle's manifest

Each is for an input of any size. A file also sets the size of the input, unless the recipe sets it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from kit.documents import describe_fault, describe_read_failure, parse_json
from kit.errors import RecipeError
from kit.files import untrusted
from kit.manifest.preprocessing import Fit, Interpolation, Preprocessing
from kit.models._hf_preprocessing import convert_settings
from kit.models.interface import IMAGENET_MEAN, IMAGENET_STD, Spec
from kit.models.sourced import check_colors, find_interpolation
from kit.recipe import Color

Numbers = tuple[float, ...]
_MAX_BYTES = 2**20
_HALF = (0.5, 0.5, 0.5)
# keras.src.applications.imagenet_utils, in red, green and blue.
_CAFFE_MEAN = (123.68, 116.779, 103.939)


@dataclass(frozen=True)
class PicturePreset:
    """Preprocessing of pictures for an input of any size.

    Attributes:
        mean: per channel in the order of `color`, subtracted after scaling to 0..1.
        std: per channel, divided by afterwards.
        color: channels of a picture.
        resize_ratio: see `kit.models.interface.Spec`, as for `crop_share`.
        crop_share: takes the place of `resize_ratio`.
        fit: see `kit.manifest.preprocessing.Preprocessing`.
        interpolation: of the resize.
        sides: height and width of the input, in pixels; None if a file does not set them.
    """

    mean: Numbers = IMAGENET_MEAN
    std: Numbers = IMAGENET_STD
    color: Color = "RGB"
    resize_ratio: float = 256 / 224
    crop_share: float | None = None
    fit: Fit = "shorter-side"
    interpolation: Interpolation = "bilinear-antialias"
    sides: tuple[int, int] | None = None


def _keras(mean: Numbers, std: Numbers, color: Color = "RGB") -> PicturePreset:
    return PicturePreset(mean, std, color, 1.0, None, "stretch", "nearest")


PRESETS: Mapping[str, PicturePreset] = {
    "torchvision": PicturePreset(),
    "timm": PicturePreset(crop_share=0.875, interpolation="bicubic-antialias"),
    "keras": _keras(_HALF, _HALF),
    "keras:torch": _keras(IMAGENET_MEAN, IMAGENET_STD),
    "keras:caffe": _keras(
        tuple(value / 255 for value in reversed(_CAFFE_MEAN)), (1 / 255,) * 3, "BGR"
    ),
}


def take_preset(spec: Spec) -> PicturePreset:
    """Return the preprocessing that a model comes with."""
    return PicturePreset(
        spec.mean,
        spec.std,
        "RGB",
        spec.resize_ratio,
        spec.crop_share,
        spec.fit,
        spec.interpolation,
    )


def find_preset(text: str) -> PicturePreset:
    """Return the preprocessing that a word or a file describes.

    Raises:
        RecipeError: it is no known word, and no file that describes one.
    """
    return PRESETS[text] if text in PRESETS else _read(Path(text))


def _read(path: Path) -> PicturePreset:
    try:
        content = parse_json(untrusted.read_file(path, _MAX_BYTES))
    except (OSError, ValueError) as exc:
        raise RecipeError(
            f"preprocess = {str(path)!r}: it cannot be read: {describe_read_failure(exc)}",
            f"use {', '.join(PRESETS)}, or a JSON file such as preprocessor_config.json",
        ) from exc
    settings = content if isinstance(content, dict) else {}
    if isinstance(inner := settings.get("pretrained_cfg"), dict):
        return _of_timm(str(path), inner)
    if "crop_pct" in settings and "input_size" in settings:
        return _of_timm(str(path), settings)
    if isinstance(inner := settings.get("preprocessing"), dict):
        return _of_bundle(path, inner)
    if "image_processor_type" in settings or "do_normalize" in settings:
        return _of_transformers(str(path), settings)
    raise RecipeError(
        f"preprocess = {str(path)!r}: it describes no preprocessing that kit knows",
        "give preprocessor_config.json of transformers, config.json of timm, or a bundle.json",
    )


def _of_timm(name: str, config: Mapping[str, object]) -> PicturePreset:
    share, mode = config.get("crop_pct", 0.875), config.get("crop_mode", "center")
    interpolation, deviations = find_interpolation(str(config.get("interpolation", "bicubic")))
    mean, std = (_triple(name, config.get(key)) for key in ("mean", "std"))
    if not isinstance(share, int | float) or not 0 < share <= 1:
        raise _refusal(name, f"crop_pct {share!r}")
    if deviations or mode not in ("center", "squash"):
        raise _refusal(name, f"the interpolation or crop {[*deviations, mode]}")
    check_colors(name, mean, std)
    fit: Fit = "stretch" if mode == "squash" else "shorter-side"
    sides = _sides(config.get("input_size"))
    return PicturePreset(mean, std, "RGB", 1.0, float(share), fit, interpolation, sides)


def _sides(shape: object) -> tuple[int, int] | None:
    """Return height and width of an input's shape [C, H, W] in a file; None for anything else."""
    if not isinstance(shape, list) or len(shape) != 3:
        return None
    height, width = shape[1:]
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _of_transformers(name: str, settings: Mapping[str, object]) -> PicturePreset:
    converted = convert_settings(name, settings)
    if converted.deviations:
        raise _refusal(name, ", ".join(converted.deviations))
    return PicturePreset(
        converted.mean,
        converted.std,
        "RGB",
        converted.resize_ratio,
        None,
        converted.fit,
        converted.interpolation,
        (converted.side, converted.side),
    )


def _of_bundle(path: Path, fields: Mapping[str, object]) -> PicturePreset:
    try:
        pre = Preprocessing.model_validate(fields)
    except ValidationError as exc:
        raise RecipeError(
            f"{path} is no bundle's manifest: preprocessing.{describe_fault(exc)}",
            "give its bundle.json",
        ) from exc
    height = pre.resize if pre.resize_to is None else pre.resize_to[0]
    assert height is not None  # as the schema checks
    fit: Fit = "stretch" if pre.fit == "stretch" else "shorter-side"
    return PicturePreset(
        pre.mean,
        pre.std,
        pre.color,
        height / pre.crop,
        None,
        fit,
        pre.interpolation,
        (pre.crop, pre.crop_width or pre.crop),
    )


def _triple(name: str, values: object) -> tuple[float, float, float]:
    if isinstance(values, list) and len(values) == 3:
        red, green, blue = values
        if all(isinstance(value, int | float) for value in values):
            return float(red), float(green), float(blue)
    raise _refusal(name, f"the mean or deviation {values!r}"[:100])


def _refusal(name: str, what: str) -> RecipeError:
    return RecipeError(
        f"{name} wants {what}, which kit's preprocessing cannot do",
        "put that step into a network of your own: FILE.py:FACTORY",
    )
