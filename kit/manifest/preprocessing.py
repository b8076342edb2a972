"""What a bundle says about the way from a picture or a text to the input tensors."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from kit.documents import Count, Deviation, Positive, Record, Share, Side
from kit.recipe import CHANNELS, Color, Layout

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
Fit = Literal["shorter-side", "cover", "stretch", "letterbox"]
Interpolation = Literal["bilinear-antialias", "bicubic-antialias", "nearest"]


class Preprocessing(Record):
    """Steps from a decoded picture to the input tensor: resize, crop or pad, scale, normalize.

    Attributes:
        resize: length of the shorter side after the resize, in pixels; None for another `fit`.
        crop: height of the centre crop, in pixels.
        crop_width: its width; None for a square.
        fit: ``shorter-side``: the shorter side gets the length `resize`, the longer one is
            truncated, as by torchvision's `Resize` of one number; ``cover``: the smallest
            size of the picture's shape that covers `resize_to`, rounded, as by timm's
            `ResizeKeepRatio`; ``stretch``: exactly `resize_to`; ``letterbox``: the largest
            size of the picture's shape inside of `resize_to`, with grey of level 114 around
            it, as by YOLO.
        resize_to: height and width, in pixels; None for the fit ``shorter-side``.
        interpolation: as Pillow resizes; bilinear and bicubic antialias.
        color: channels in their order; grey is ITU-R 601's luma, made before the resize.
        layout: of a batch: channels first or last.
        mean: per channel, subtracted after scaling to 0..1.
        std: per channel, divided by afterwards.
    """

    resize: Side | None
    crop: Side
    crop_width: Side | None = None
    fit: Fit = "shorter-side"
    resize_to: tuple[Side, Side] | None = None
    interpolation: Interpolation = "bilinear-antialias"
    color: Color = "RGB"
    layout: Layout = "NCHW"
    mean: Annotated[tuple[Share, ...], Field(min_length=1, max_length=3)]
    std: Annotated[tuple[Deviation, ...], Field(min_length=1, max_length=3)]

    @model_validator(mode="after")
    def _a_number_for_each_channel(self) -> Preprocessing:
        if not len(self.mean) == len(self.std) == CHANNELS[self.color]:
            raise ValueError(f"mean and std are not of {CHANNELS[self.color]} channels")
        return self

    @model_validator(mode="after")
    def _one_size_to_resize_to(self) -> Preprocessing:
        by_side = self.fit == "shorter-side"
        if by_side != (self.resize is not None) or by_side != (self.resize_to is None):
            raise ValueError(
                f"the fit {self.fit} needs {'resize' if by_side else 'resize_to'} alone"
            )
        return self

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of a prepared picture, in pixels."""
        return self.crop, self.crop if self.crop_width is None else self.crop_width

    def describe(self) -> str:
        """Return the steps in words, such as ``shorter side to 37 px, centre crop 32 x 32, …``."""
        height, width = self.sides
        if self.fit == "shorter-side":
            first = f"shorter side to {self.resize} px"
        else:
            assert self.resize_to is not None  # as the validator requires
            size = "{} x {}".format(*self.resize_to)
            first = {
                "cover": f"resized to cover {size}",
                "stretch": f"stretched to {size}",
                "letterbox": f"resized to fit into {size}, padded with grey",
            }[self.fit]
        steps = [first]
        if self.resize_to != self.sides or self.fit == "cover":
            steps.append(f"centre crop {height} x {width}")
        if self.color != "RGB":
            steps.append(self.color)
        if (self.mean, self.std) == (IMAGENET_MEAN, IMAGENET_STD):
            steps.append("ImageNet mean and std")
        else:
            steps += [
                f"{name} {', '.join(f'{value:.4g}' for value in values)}"
                for name, values in (("mean", self.mean), ("std", self.std))
            ]
        return ", ".join(steps)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a prepared picture, [channels, H, W] or [H, W, channels]."""
        channels = CHANNELS[self.color]
        return (channels, *self.sides) if self.layout == "NCHW" else (*self.sides, channels)


class Tokenization(Record):
    """Steps from a text to the input tensors: tokenize, cut or pad to a length.

    Inputs are named as in Hugging Face's models: ``input_ids``, ``attention_mask`` (1 for a token,
    0 for padding) and ``token_type_ids``.

    Attributes:
        file: in the bundle, of the package tokenizers.
        tokens: length of every text, special tokens included.
        pad_id: token of the padding.
        pad_type: type of the padding in ``token_type_ids``.
        pad_side: where the padding is.
    """

    file: Literal["tokenizer.json"] = "tokenizer.json"
    tokens: Positive
    pad_id: Count = 0
    pad_type: Count = 0
    pad_side: Literal["left", "right"] = "right"
