"""The keys of a recipe's model files."""

from __future__ import annotations

from kit import encodings, formats
from kit.algorithms import get_algorithm
from kit.algorithms.interface import Algorithm
from kit.artifact_key import ArtifactKey, parse_target
from kit.errors import RecipeError
from kit.formats.interface import Backend, Format
from kit.precisions import get_precision
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
                    f"{text} has no {precision} files: {explain_refusal(exporter, precision)}",
                    f"it has {', '.join(exporter.precisions)}; name formats that have "
                    f"{precision} with --format",
                )
            get_precision(precision).choose_method(method)
            keys.append(ArtifactKey(name, precision, backend))
    return tuple(keys)


def explain_refusal(exporter: Backend | Format, precision: str) -> str:
    """Return why a format or backend has no files of a precision, as the end of a sentence."""
    return exporter.refusals.get(precision) or get_precision(precision).refusal


def find_method(recipe: Recipe) -> Algorithm:
    """Return the method that the model is prepared for: ``none`` if no file needs the recipe's."""
    needed = any(is_prepared(recipe, key) for key in list_keys(recipe))
    return get_algorithm(recipe.quantize if needed else FLOAT_METHOD)


def is_prepared(recipe: Recipe, key: ArtifactKey) -> bool:
    """Return whether a file is made of the model that the recipe's method corrects or trains."""
    return get_precision(key.precision).prepared or choose_method(recipe, key) == recipe.quantize


def needs_ranges(recipe: Recipe) -> bool:
    """Return whether a file has activation ranges that are set by calibration."""
    return any(get_algorithm(choose_method(recipe, key)).calibrates for key in list_keys(recipe))


def needs_encodings(recipe: Recipe) -> bool:
    """Return whether a file has the ranges of `encodings.json`, whose levels have 8 bits.

    Files with finer activations need ranges too, and take minimum and maximum.
    """
    return any(
        get_algorithm(choose_method(recipe, key)).calibrates
        and get_precision(key.precision).activation_bits == encodings.BITS
        for key in list_keys(recipe)
    )


def keeps_layers(recipe: Recipe) -> bool:
    """Return whether a file has a method that leaves layers in float by their names."""
    return any(get_algorithm(choose_method(recipe, key)).keeps_layers for key in list_keys(recipe))


def chooses_layers(recipe: Recipe) -> bool:
    """Return whether the build itself chooses which layers stay float, if int8 is inaccurate.

    Answers of random weights, which are near ties, do not say whether it is. Training looks for
    other weights instead, and a file of encodings says what is quantized.
    """
    method = get_algorithm(recipe.quantize)
    if not recipe.keeps_automatically or recipe.weights == "random" or method.trains:
        return False
    return recipe.encodings is None and needs_encodings(recipe)


def choose_method(recipe: Recipe, key: ArtifactKey) -> str:
    """Return the name of the method that quantizes a file: ``none`` for one in float."""
    return get_precision(key.precision).choose_method(get_algorithm(recipe.quantize))
