"""Options for the fields of a recipe, shared by commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from kit.commands.common.option_types import Colour, Finite, SideOption, make_list_option

_F = TypeVar("_F", bound=Callable[..., object])


def _together(*options: Callable[[_F], _F]) -> Callable[[_F], _F]:
    """Combine options to one decorator; the help lists them in this order."""

    def decorate(function: _F) -> _F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


MODEL: Callable[[_F], _F] = _together(
    click.option(
        "--weights",
        metavar="imagenet|random|FILE[:KEY]",
        help="Default: imagenet; for FILE.py:FACTORY and hf:FOLDER what it comes with.",
    ),
    click.option(
        "--resolution",
        "--input",
        "--image-size",
        type=SideOption(),
        metavar="N|HxW",
        help="Side of a square input in pixels, or height and width. Default: 224; of "
        "SOURCE:NAME the model's own.",
    ),
    click.option(
        "--labels",
        metavar="FILE",
        help="Name of each output in a line. Default: the model's, or ImageNet's for 1000 outputs.",
    ),
    click.option(
        "--mean",
        type=Colour(),
        metavar="R,G,B",
        help="Subtracted from pictures of 0 to 1. Default: the model's own, or ImageNet's.",
    ),
    click.option("--std", type=Colour(), metavar="R,G,B", help="What they are then divided by."),
    click.option(
        "--color",
        metavar="RGB|BGR|grey",
        help="Channels of pictures, in the network's order. Default: RGB.",
    ),
    click.option(
        "--pixels",
        metavar="0..1|0..255",
        help="Range of pixels that --mean and --std are for; those of 0..255 are 0 and 1 by "
        "default. Default: 0..1.",
    ),
    click.option(
        "--layout",
        metavar="NCHW|NHWC",
        help="Whether the network takes channels first or last. Default: NCHW.",
    ),
    click.option(
        "--preprocess",
        metavar="torchvision|timm|keras|FILE",
        help="Resize, crop and normalize as these libraries or a preprocessor_config.json do. "
        "Default: the model's own.",
    ),
    click.option("--width", type=Finite(), help="Width multiplier. Default: 1.0."),
)

QUANTIZATION: Callable[[_F], _F] = _together(
    click.option(
        "--granularity",
        metavar="per-channel|per-tensor",
        help="One weight scale per output channel, or one per tensor. Default: per-channel.",
    ),
    make_list_option(
        "--corrections",
        metavar="best|none|STEP,…",
        help="Steps on the float model before it is quantized. Default: best.",
    ),
    make_list_option(
        "--keep-float",
        metavar="auto|none|N|LAYER,…",
        help="Layers that are not quantized, or how many of those that int8 hurts most. "
        "Default of a build: auto, as few as make an inaccurate int8 network accurate.",
    ),
    click.option(
        "--observer",
        metavar="search|percentile|mse|histogram|minmax|moving-average",
        help="What sets the activation ranges. Default: search.",
    ),
)

TEXT: Callable[[_F], _F] = _together(
    click.option(
        "--tokenizer",
        metavar="FILE",
        help="Tokenizer of a model of text: a tokenizer.json of Hugging Face.",
    ),
    click.option(
        "--tokens", type=int, help="Tokens that texts are cut or padded to. Default: 128."
    ),
)

STATE: Callable[[_F], _F] = make_list_option(
    "--state",
    metavar="INPUT=OUTPUT,…",
    help="Inputs that are an output of the inference before, of the task tensors. Samples are then "
    "sequences.",
)

TASK: Callable[[_F], _F] = click.option(
    "--task",
    metavar="TASK",
    help="What the model is for; `kit list` has all tasks. Default: image-classification.",
)

CALIBRATION: Callable[[_F], _F] = _together(
    click.option(
        "--calibrate",
        metavar="SAMPLES",
        help="Pictures that set the activation ranges, or what else the task's samples are. "
        "Default: crops of sample photos.",
    ),
    click.option("--calibration-images", type=int, help="How many of them. Default: 32."),
)

DYNAMIC: Callable[[_F], _F] = click.option(
    "--dynamic",
    metavar="NAME=MIN..MAX,...",
    help="Sizes that may vary: batch=1..N samples in one inference, tokens=MIN..MAX of texts, "
    "height=MIN..MAX[/STEP],width=... of pictures. Default: none.",
)

SEED: Callable[[_F], _F] = click.option(
    "--seed", type=int, help="Of everything drawn at random. Default: 0."
)


def split_items(text: str | None) -> tuple[str, ...] | None:
    """Return the items of a comma-separated option; None if it was omitted."""
    return None if text is None else tuple(p.strip() for p in text.split(",") if p.strip())
