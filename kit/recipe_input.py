"""Make recipes of what users write: options and TOML files, with faults in their words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from kit import documents
from kit.documents import name_fault
from kit.error_text import shorten_value
from kit.errors import RecipeError, UnknownName, suggest
from kit.files import untrusted
from kit.model_name import check_model_name
from kit.model_source import find_source, split_reference
from kit.recipe import MAX_RESOLUTION, MIN_RESOLUTION, OWN, Recipe, split_own_model
from kit.registry import ALGORITHM_NAMES, FORMAT_NAMES, PRECISION_NAMES, TASK_NAMES

_OPTIONS = {"formats": "format", "precisions": "precision"}  # options that differ from the field
GATE_FIELDS = ("max_drop", "min_agreement", "gate_images")  # of a recipe file; not of the recipe


def _check_names(recipe: Recipe) -> None:
    """Raise if the model, method or a format does not exist.

    Raises:
        UnknownName: one does not exist.
        RecipeError: a user's model is not named as ``FILE.py:FACTORY``, or has no such file.
    """
    _check_model(recipe)
    ALGORITHM_NAMES.check(recipe.quantize)
    TASK_NAMES.check(recipe.task)
    _check_precisions(recipe.precisions)
    for name in recipe.format_names:
        _check_format(name)


def _check_model(recipe: Recipe) -> None:
    if reference := split_reference(recipe.model):
        source = find_source(reference.source)
        source.check_name(reference.name)
        if recipe.weights == OWN and source.weights != OWN:
            raise RecipeError(
                f"{recipe.model} comes without weights", "use --weights imagenet, random or FILE"
            )
        _refuse_width(recipe)
        return
    mine = split_own_model(recipe.model)
    if mine is None:
        check_model_name(recipe.model)
        if recipe.weights == OWN:
            raise RecipeError(
                f"{recipe.model} comes without weights", "use --weights imagenet, random or FILE"
            )
        return
    file, factory = mine
    if file.suffix != ".py" or not factory.isidentifier():
        raise RecipeError(
            f"{recipe.model!r} is not FILE.py:FACTORY", "for example: kit build net.py:build"
        )
    if not _is_file(file):
        raise RecipeError(f"there is no file {file}", "check the path")
    _refuse_width(recipe)


def _refuse_width(recipe: Recipe) -> None:
    if recipe.width != 1.0:
        raise RecipeError(
            f"width = {recipe.width:g}: {recipe.model} takes no width",
            "the width multiplier is for the models of `kit list`",
        )


def _check_format(name: str) -> None:
    if name in FORMAT_NAMES.list_all():
        return
    known = name in PRECISION_NAMES.list_all()
    precision = name if known else PRECISION_NAMES.find_aliases().get(name.lower())
    if precision is not None:
        raise UnknownName(
            f"there is no format called {name!r}, it is a precision", f"use --precision {precision}"
        )
    FORMAT_NAMES.check(name)


def _check_precisions(value: object) -> None:
    """Raise for a word that is no precision; other faults are the schema's to find."""
    for name in value if isinstance(value, tuple | list) else ():
        if isinstance(name, str):
            PRECISION_NAMES.check(name)


def _is_file(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:  # the name is too long, or the folder cannot be read
        return False


def make_recipe(model: str, **fields: object) -> Recipe:
    """Return a recipe of these fields; see `Recipe`.

    Raises:
        RecipeError: a value is out of range; the message names the field and the value.
        UnknownName: no such model, format, method or precision.
    """
    _check_precisions(fields.get("precisions"))
    try:
        recipe = Recipe.model_validate(
            {"model": model, **_source_defaults(model), **_read_sides(fields), **fields}
        )
    except ValidationError as exc:
        first = exc.errors()[0]
        name = ".".join(str(p) for p in first["loc"]) or "recipe"
        assignment = "" if first["type"] == "missing" else f" = {shorten_value(first['input'])}"
        if first["type"] == "extra_forbidden":
            raise RecipeError(f"a recipe has no field {name}", _hint(name)) from exc
        raise RecipeError(f"{name}{assignment}: {name_fault(first)}", _hint(name)) from exc
    _check_names(recipe)
    return recipe


def _source_defaults(model: object) -> dict[str, object]:
    """Return what the source of a model knows better than the defaults of a recipe."""
    reference = split_reference(model) if isinstance(model, str) else None
    if reference is None:
        return {}
    source = find_source(reference.source)
    return {
        "weights": source.weights,
        "resolution": source.find_side(reference.name),
        "task": source.find_task(reference.name),
    }


def _read_sides(fields: Mapping[str, object]) -> dict[str, object]:
    """Return the size of the input from a file of preprocessing, unless the fields set it.

    Raises:
        RecipeError: the file describes no preprocessing.
    """
    preprocess = fields.get("preprocess")
    if not isinstance(preprocess, str) or not {"resolution", "input_width"}.isdisjoint(fields):
        return {}
    from kit.models.presets import find_preset

    sides = find_preset(preprocess).sides
    return {} if sides is None else {"resolution": sides}


def _hint(name: str) -> str:
    name = name.partition(".")[0]  # `mean` of `mean.0`
    field = Recipe.model_fields.get(name)
    if field is None:
        known = sorted([*Recipe.model_fields, *GATE_FIELDS])
        return suggest(name, known, {option: field for field, option in _OPTIONS.items()})
    if name in ("resolution", "input_width"):
        return f"use a resolution from {MIN_RESOLUTION} to {MAX_RESOLUTION}, for example 224"
    option = _OPTIONS.get(name, name.replace("_", "-"))
    return f"`kit build --help` says what --{option} takes"


def read_recipe(path: Path) -> dict[str, object]:
    """Return the fields of a TOML recipe file, unchecked; pass them to `make_recipe`.

    Raises:
        RecipeError: the file cannot be read or is not TOML.
    """
    hint = 'a recipe is a text like: model = "mobilenet_v2"'
    try:
        content = untrusted.read_file(path, documents.MAX_TOML_BYTES)
    except (OSError, ValueError) as exc:
        why = documents.describe_read_failure(exc)
        raise RecipeError(f"cannot read the recipe {path}: {why}", hint) from exc
    try:
        return documents.parse_toml(content)
    except ValueError as exc:
        raise RecipeError(f"the recipe {path} is not TOML: {exc}", hint) from exc
