"""Option types: paths, finite numbers, the size of a model's input, numbers per colour channel."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from kit.errors import UsageError

# click converts options to their declared types, but only at run time.
Given = Any

_F = TypeVar("_F", bound=Callable[..., object])


class FilePath(click.Path):
    """Path of a file or folder; refuses an empty one, as from an unset variable.

    Attributes:
        written: whether the command writes there; settings files cannot name any such place.
    """

    def __init__(self, path_type: type[Path] | type[str] = Path, *, written: bool = False) -> None:
        super().__init__(path_type=path_type)
        self.written = written

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str | bytes | os.PathLike[str]:
        """Return the path.

        Raises:
            UsageError: it is empty.
        """
        if value == "":
            name = param.opts[-1] if param and param.opts else "a path"
            raise UsageError(f"{name} is empty", "give the path of a file or folder")
        return super().convert(value, param, ctx)


_CHANNELS = (1, 3)

PATH = FilePath()
TEXT_PATH = FilePath(str)  # which keeps a slash at the end
OUTPUT_PATH = FilePath(written=True)
OUTPUT_TEXT_PATH = FilePath(str, written=True)


class SideOption(click.ParamType):  # type: ignore[type-arg]  # older click has no argument here
    """Size of the input in pixels, as ``160``, ``160x256`` (height, width) or ``3x160x256``."""

    name = "side"

    def convert(
        self,
        value: str | int | tuple[int, int],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> int | tuple[int, int]:
        """Return the side, or height and width of an input that is not square.

        Raises:
            UsageError: it is not a number or a shape, or not of three channels.
        """
        if not isinstance(value, str):
            return value
        numbers = [int(n) for n in re.findall("[0-9]+", value)]
        if re.fullmatch(r"[0-9]{1,6}", value):
            return numbers[0]
        if not re.fullmatch(r"[0-9]{1,6}([x×,][0-9]{1,6}){1,3}", value, re.IGNORECASE):
            raise UsageError(f"{value!r} is not an input size", "use 160, or 160x256")
        if len(numbers) == 2:
            numbers.insert(0, 3)
        if len(numbers) == 4 and numbers[0] == 1:
            del numbers[0]
        channels, height, width = numbers[-3:]
        if len(numbers) == 4 or channels != 3:
            raise UsageError(
                f"an input of {value} is not one RGB picture: kit feeds models 3 channels",
                f"use 3x{height}x{width}; --color grey feeds one, --layout NHWC feeds them last, "
                "other numbers of channels need a layer that makes them",
            )
        return height if height == width else (height, width)


class Colour(click.ParamType):  # type: ignore[type-arg]  # older click has no argument here
    """A number for each channel, as ``0.485,0.456,0.406``; one for grey pictures."""

    name = "colour"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """Return the numbers.

        Raises:
            UsageError: there are not one or three, or one is not a number.
        """
        try:
            numbers = tuple(float(part) for part in value.split(","))
            if len(numbers) not in _CHANNELS:
                raise ValueError(len(numbers))
        except ValueError as exc:
            name = f"--{param.name} " if param else ""
            raise UsageError(
                f"{name}{value!r} is not three numbers, for red, green and blue, or one for grey",
                "for example: 0.485,0.456,0.406",
            ) from exc
        return numbers


class Finite(click.ParamType):  # type: ignore[type-arg]  # older click has no argument here
    """A number that is neither infinite nor NaN, which `float` lets through.

    Comparisons of NaN with bounds are false, and JSON cannot represent either.
    """

    name = "number"

    def convert(
        self, value: Given, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number, or end with a usage error."""
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{value!r} is not a number.", param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class FiniteRange(click.FloatRange):
    """A range of finite numbers, with one bound or two, which the help shows."""

    def convert(
        self, value: Given, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number, or end with a usage error."""
        return float(super().convert(Finite().convert(value, param, ctx), param, ctx))


def make_list_option(
    *names: str, metavar: str, help: str, default: str | None = None
) -> Callable[[_F], _F]:
    """Return an option of several items: with commas, given several times, or both.

    The command gets them as one text with commas, or the default.
    """

    def join(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> str | None:
        return ",".join(values) if values else default

    return click.option(*names, multiple=True, metavar=metavar, help=help, callback=join)
