"""Recipes: frozen descriptions of a build, with a hash.

Equal recipes have equal hashes. Files that a recipe names (weights, pictures) are hashed by
content when they are read, see `kit.build_inputs`.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from kit.artifact_key import PrecisionName, parse_target
from kit.documents import Deviation, Level, Record, Text
from kit.model_source import split_reference
from kit.varying import BATCH, Varying, find_axes, parse_varying

MIN_RESOLUTION = 32  # MobileNets halve the picture five times
MAX_RESOLUTION = 1024
MAX_TOKENS = 8192
MAX_BATCH = 1024
DEFAULT_TOKENS = 128
PICTURE_OPTIONS = ("color", "pixels", "layout", "input_width", "preprocess")
TASK_OPTIONS = ("tokenizer", "tokens", "state", *PICTURE_OPTIONS)  # fields that only some tasks use

Color = Literal["RGB", "BGR", "grey"]
Layout = Literal["NCHW", "NHWC"]
Pixels = Literal["0..1", "0..255"]
CHANNELS: dict[Color, int] = {"RGB": 3, "BGR": 3, "grey": 1}
LEVELS: dict[Pixels, int] = {"0..1": 1, "0..255": 255}  # the value of white
_LEAST_DEVIATION = 1e-4  # of pixels of 0 to 1, see `kit.documents.Deviation`

Granularity = Literal["per-channel", "per-tensor"]
NameTuple = Annotated[tuple[Text, ...], Field(max_length=10_000)]

_NUMBER = re.compile("[0-9]{1,6}")
_SIDES = (MIN_RESOLUTION, MAX_RESOLUTION)
_LIMITS = {BATCH: (1, MAX_BATCH), "tokens": (1, MAX_TOKENS), "height": _SIDES, "width": _SIDES}

AUTO, NONE = "auto", "none"  # words in place of the layers that stay float
OWN = "own"  # the weights of the network that a user's factory returns


class Recipe(Record):
    """Fields of a recipe.

    Attributes:
        model: a member of `kit.models`, ``SOURCE:NAME`` for one of another library, or
            ``FILE.py:FACTORY`` for a user's model.
        task: of the model; a member of `kit.tasks`.
        weights: ``imagenet``, ``random`` or the path of a state dict, with ``:KEY`` of one in a
            checkpoint; ``own``, the default for a
            user's model, are the weights of the network that the factory returns, and those in
            a folder that a source takes.
        resolution: side of the square input, in pixels, or its height; two numbers are height
            and width.
        input_width: width of an input that is not square, in pixels; None for a square.
        width: width multiplier (arXiv 1704.04861, section 3.3).
        quantize: a member of `kit.algorithms`.
        granularity: one weight scale per output channel, or one per tensor.
        corrections: of the float model before it is quantized: ``best``, ``none`` or a
            comma-separated list of members of `kit.corrections`.
        keep_float: names of layers and operations that are not quantized, or one number n: the n
            layers that lose the most accuracy in int8. ``auto`` chooses them if the int8 network
            is inaccurate; none, or ``none``, quantizes all.
        observer: sets the activation ranges, see `kit.quantize.observers`.
        encodings: file of scales and offsets, see `kit.encodings`; None computes them.
        formats: members of `kit.formats`, optionally with a backend: ``FORMAT/BACKEND``.
        precisions: members of `kit.precisions`, each format in all of them; None for that of the
            method.
        calibrate: folder or zip of samples; None takes crops of sample photos.
        calibration_images: number of samples that set the activation ranges.
        labels: file with one name per output; None takes ImageNet's names for a network of
            1000 outputs.
        color: channels of a picture, in the order of the network; None for RGB.
        pixels: range of the values that `mean` and `std` are for; None for 0..1. The network
            takes such values if the mean is 0 and the deviation 1, their default for 0..255.
        layout: of a batch of pictures: channels first or last; None for NCHW.
        preprocess: a member of `kit.models.presets.PRESETS`, or the path of a JSON file, that
            resizing, crop and normalization are taken from; None for the model's own.
        mean: per channel, subtracted from pixels; None takes the model's own.
        std: per channel, divided by afterwards.
        train: folder or zip of pictures for quantization-aware training, with or without
            labels; None takes the calibration pictures.
        train_steps: optimizer steps.
        train_batch: pictures per step.
        learning_rate: of the optimizer.
        seed: of all random numbers.
        dynamic: sizes of inputs that may vary, as `kit.varying` describes them, such as
            ``batch=1..8,tokens=8..128``; None for one sample of one size.
        tokenizer: file of the package tokenizers, for tasks of text.
        tokens: length that they are cut or padded to; None for `DEFAULT_TOKENS`.
        state: ``INPUT=OUTPUT`` for each input that is that output of the inference before.
    """

    model: Text
    task: Text = "image-classification"
    weights: Text = Field("imagenet", min_length=1)
    resolution: int = Field(224, ge=MIN_RESOLUTION, le=MAX_RESOLUTION, strict=True)
    width: float = Field(1.0, gt=0, le=4)
    quantize: Text = "static"
    granularity: Granularity = "per-channel"
    corrections: Text = "best"
    keep_float: NameTuple = (AUTO,)
    observer: Text = "search"
    encodings: Text | None = None
    formats: NameTuple = ("lite", "executorch", "onnx")
    precisions: tuple[PrecisionName, ...] | None = None
    calibrate: Text | None = None
    calibration_images: int = Field(32, ge=1, le=4096, strict=True)
    labels: Text | None = None
    color: Color | None = None  # before `mean` and `std`, which are checked with these
    pixels: Pixels | None = None
    layout: Layout | None = None
    input_width: int | None = Field(None, ge=MIN_RESOLUTION, le=MAX_RESOLUTION, strict=True)
    preprocess: Text | None = Field(None, min_length=1)
    mean: Annotated[tuple[Level, ...], Field(min_length=1, max_length=3)] | None = None
    std: Annotated[tuple[Deviation, ...], Field(min_length=1, max_length=3)] | None = None
    train: Text | None = None
    train_steps: int = Field(40, ge=1, le=1_000_000, strict=True)
    train_batch: int = Field(16, ge=1, le=4096, strict=True)
    learning_rate: float = Field(1e-5, gt=0, le=1)
    seed: int = Field(0, ge=0, lt=2**32, strict=True)
    dynamic: Text | None = None
    tokenizer: Text | None = None
    tokens: int | None = Field(None, ge=2, le=MAX_TOKENS, strict=True)
    state: NameTuple | None = None

    @model_validator(mode="before")
    @classmethod
    def _own_weights(cls, fields: object) -> object:
        if isinstance(fields, dict) and split_own_model(str(fields.get("model", ""))):
            return {"weights": OWN, **fields}
        return fields

    @model_validator(mode="before")
    @classmethod
    def _height_and_width(cls, fields: object) -> object:
        sides = fields.get("resolution") if isinstance(fields, dict) else None
        if isinstance(fields, dict) and isinstance(sides, list | tuple) and len(sides) == 2:
            height, width = sides
            own_width = None if width == height else width
            return {**fields, "resolution": height, "input_width": own_width}
        return fields

    @field_validator("mean", "std")
    @classmethod
    def _fits_the_pixels(
        cls, value: tuple[float, ...] | None, info: ValidationInfo
    ) -> tuple[float, ...] | None:
        if value is None:
            return None
        channels = CHANNELS[info.data.get("color") or "RGB"]
        if len(value) != channels:
            raise ValueError(f"it needs one number for each channel, {channels} of them")
        white = LEVELS[info.data.get("pixels") or "0..1"]
        if info.field_name == "mean" and max(value) > white:
            raise ValueError("pixels are 0 to 1; for others use pixels = '0..255'")
        if info.field_name == "std" and min(value) < _LEAST_DEVIATION * white:
            raise ValueError(f"pixels of 0 to {white} need at least {_LEAST_DEVIATION * white:.3g}")
        return value

    @field_validator("keep_float", mode="before")
    @classmethod
    def _words_of_layers(cls, value: object) -> object:
        if isinstance(value, int) and not isinstance(value, bool):
            return (str(value),)
        if isinstance(value, str):
            value = tuple(part.strip() for part in value.split(",") if part.strip())
        return () if isinstance(value, tuple | list) and [*value] == [NONE] else value

    @field_validator("keep_float")
    @classmethod
    def _word_is_alone(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) > 1 and (words := {AUTO, NONE} & {*value}):
            raise ValueError(f"{min(words)} stands alone, without names of layers")
        return value

    @field_validator("formats")
    @classmethod
    def _some_formats(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("name at least one format")
        return tuple(dict.fromkeys(value))

    @field_validator("precisions")
    @classmethod
    def _some_precisions(
        cls, value: tuple[PrecisionName, ...] | None
    ) -> tuple[PrecisionName, ...] | None:
        if value is None:
            return None
        if not value:
            raise ValueError("name at least one precision")
        return tuple(dict.fromkeys(value))

    @field_validator("dynamic")
    @classmethod
    def _names_dimensions(cls, value: str | None) -> str | None:
        if value is not None:
            parse_varying(value, _LIMITS, find_axes(channels_last=False))
        return value

    @property
    def format_names(self) -> tuple[str, ...]:
        """The formats, without backends."""
        return tuple(dict.fromkeys(parse_target(text)[0] for text in self.formats))

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of the input, in pixels."""
        return self.resolution, self.input_width or self.resolution

    @property
    def varying(self) -> Varying:
        """The dimensions of the inputs that may vary."""
        axes = find_axes(channels_last=self.layout == "NHWC")
        return parse_varying(self.dynamic, _LIMITS, axes) if self.dynamic else ()

    @property
    def max_batch(self) -> int:
        """The largest number of samples in one inference; 1 if it is fixed."""
        return next((one.max for one in self.varying if one.name == BATCH), 1)

    @property
    def keep_worst(self) -> int | None:
        """The number of layers that stay float, if `keep_float` is one number; else None."""
        names = self.keep_float
        return int(names[0]) if len(names) == 1 and _NUMBER.fullmatch(names[0]) else None

    @property
    def keeps_automatically(self) -> bool:
        """Whether the build chooses the layers that stay float, if any."""
        return self.keep_float == (AUTO,)

    @property
    def title(self) -> str:
        """The model's name without folders of this machine, for people."""
        if mine := split_own_model(self.model):
            return mine[0].stem
        reference = split_reference(self.model)
        return f"{reference.source}-{Path(reference.name).name}" if reference else self.model

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON of the recipe, in hex."""
        fields = self.model_dump(mode="json")
        for name in (
            "encodings",
            "precisions",
            "dynamic",
            *TASK_OPTIONS,
        ):  # older recipes without these keep their hash
            if fields[name] is None:
                del fields[name]
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def slug(self) -> str:
        """A descriptive name of the bundle's folder, for people; programs read `bundle.json`."""
        width = "" if self.width == 1.0 else f"-w{self.width:g}"
        how = {"none": "fp32"}.get(self.quantize, f"{self.quantize}-{self.granularity}")
        mine = split_own_model(self.model)
        name = f"{mine[0].stem}-{mine[1]}" if mine else self.title
        size = format_sides(*self.sides)
        if self.tokenizer is not None:
            size = str(self.tokens or DEFAULT_TOKENS)
        return re.sub(r"[^\w.-]+", "_", f"{name}{width}-{size}-{how}")


def format_sides(height: int, width: int) -> str:
    """Return the size of an input in pixels for people: ``224`` or ``160x256``, height first."""
    return str(height) if height == width else f"{height}x{width}"


def split_own_model(model: str) -> tuple[Path, str] | None:
    """Split ``FILE.py:FACTORY`` into file and factory; None for any other model."""
    if split_reference(model):
        return None
    file, colon, factory = model.rpartition(":")
    return (Path(file), factory) if colon else None
