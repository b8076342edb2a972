"""Numbers on the command line."""

from __future__ import annotations

import math

import click

from kit.commands.common.option_types import Given


class Finite(click.FloatRange):
    """A range without infinity and NaN, which `click.FloatRange` lets through.

    Comparisons of NaN with bounds are false, and JSON cannot represent either.
    """

    def convert(
        self, value: Given, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number, or end with a usage error."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number
