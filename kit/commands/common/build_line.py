"""Convert a recipe to a `kit build` command, quoted for the shell."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kit.recipe import Recipe

_OPTIONS = {
    "formats": "--format",
    "precisions": "--precision",
}  # options that differ from the field's name


def format_build_line(recipe: Recipe) -> str:
    """Return ``kit build MODEL`` with an option for each non-default field."""
    from kit.recipe import NONE

    words = ["kit", "build", recipe.model]
    for name, field in type(recipe).model_fields.items():
        value = getattr(recipe, name)
        if name == "model" or value is None or value == field.default:
            continue
        text = ",".join(map(str, value)) or NONE if isinstance(value, tuple) else str(value)
        option = _OPTIONS.get(name, f"--{name.replace('_', '-')}")
        # A value that begins with a dash would be taken for an option.
        words += [f"{option}={text}"] if text.startswith("-") else [option, text]
    return shlex.join(words)
