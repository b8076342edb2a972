"""The keys of a recipe's model files."""

from __future__ import annotations

from kit import formats
from kit.algorithms import get_algorithm
from kit.algorithms.interface import Algorithm
from kit.artifact_key import ArtifactKey, parse_target
from kit.errors import RecipeError
from kit.recipe import Recipe

FLOAT_METHOD = "none"


def list_keys(recipe: Recipe) -> tuple[ArtifactKey, ...]:
    """Return the keys of the files, format by format.

    Raises:
        UnknownName: there is no such format, backend or method.
        RecipeError: the method, or a format, does not support a requested precision.
    """
    method = get_algorithm(recipe.quantize)
    keys = []
    for text in recipe.formats:
        name, backend = parse_target(text)
        exporter = formats.get_format(name).find_backend(backend)
        for precision in recipe.precisions or (method.precision,):
            if precision not in exporter.precisions:
                raise RecipeError(
                    f"{text} has no {precision} files",
                    f"it has {' and '.join(exporter.precisions)}; name formats that have "
                    f"{precision} with --format",
                )
            if precision not in (method.precision, "fp32", "fp16"):
                raise RecipeError(
                    f"precisions has {precision}, and --quantize {recipe.quantize} gives "
                    f"{method.precision}",
                    "use --quantize static" if precision == "int8" else "leave it out",
                )
            keys.append(ArtifactKey(name, precision, backend))
    return tuple(keys)


def find_method(recipe: Recipe) -> Algorithm:
    """Return the method that quantizes files of a recipe: ``none`` where all files are float."""
    names = {choose_method(recipe, key) for key in list_keys(recipe)}
    return get_algorithm(recipe.quantize if recipe.quantize in names else FLOAT_METHOD)


def choose_method(recipe: Recipe, key: ArtifactKey) -> str:
    """Return the name of the method that quantizes a file: ``none`` for one in float."""
    method = get_algorithm(recipe.quantize)
    return method.name if method.precision == key.precision else FLOAT_METHOD
