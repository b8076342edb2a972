"""Check a recipe before anything that takes long."""

from __future__ import annotations

from kit import formats
from kit.algorithms import get_algorithm
from kit.artifact_key import parse_target
from kit.corrections import plan
from kit.errors import RecipeError
from kit.pipeline._artifact_keys import find_method, keeps_layers, list_keys, needs_encodings
from kit.quantize.observers import check as check_observer
from kit.recipe import DEFAULT_TOKENS, TASK_OPTIONS, Recipe
from kit.registry import FORMAT_NAMES
from kit.tasks import get_task, list_tasks
from kit.tasks.interface import Task
from kit.varying import BATCH

# Options that only methods with training use, and options that only calibration uses.
TRAINING = ("train", "train_steps", "train_batch", "learning_rate")
CALIBRATION = ("observer", "corrections")


def check(recipe: Recipe) -> None:
    """Check the names of steps, and refuse options that the method would ignore.

    Raises:
        UnknownName: there is no such correction or observer.
        RecipeError: two corrections exclude each other, or an option does nothing.
        MissingTool: a format needs a package that is not installed.
    """
    check_names(recipe)
    list_keys(recipe)
    for name in recipe.format_names:
        formats.get_format(name).check_packages()
    task = get_task(recipe.task)
    for name in TASK_OPTIONS:
        value = getattr(recipe, name)
        if value is not None and name not in task.options:
            raise RecipeError(
                f"{name} = {value!r} does nothing with the task {recipe.task}",
                f"leave it out, or use --task {_find_task(name)}",
            )
    task.check_recipe(recipe)
    _check_varying(recipe, task)
    info = get_algorithm(recipe.quantize)
    if recipe.quantize not in ("static", find_method(recipe).name):
        raise RecipeError(
            f"quantize = {recipe.quantize!r} does nothing: it makes none of the files",
            f"leave it out, or add {info.precision} to --precision",
        )
    kept = keeps_layers(recipe) if recipe.keep_worst is None else find_method(recipe).calibrates
    if recipe.keep_float and not recipe.keeps_automatically and not kept:
        raise RecipeError(
            f"keep_float = {', '.join(recipe.keep_float)!r} does nothing with {recipe.quantize}, "
            "which quantizes no layer by calibration",
            "leave it out, or use --quantize static",
        )
    if recipe.encodings is not None and (info.trains or not info.calibrates):
        raise RecipeError(
            f"encodings = {recipe.encodings!r} cannot be used with {recipe.quantize}, which "
            + ("chooses its own after training" if info.trains else "takes none"),
            "leave it out, or use --quantize static",
        )
    if recipe.encodings is not None and not needs_encodings(recipe):
        raise RecipeError(
            f"encodings = {recipe.encodings!r} does nothing: none of the files has 8-bit "
            f"activation ranges, with the precisions {', '.join(recipe.precisions or ())}",
            "leave it out, or add int8 to --precision",
        )
    if not info.trains:
        reason = f"with {recipe.quantize}, which trains nothing"
        _refuse_idle(recipe, TRAINING, reason, "use --quantize qat")
    if not find_method(recipe).calibrates:
        makers = ", ".join(recipe.precisions or (recipe.quantize,))
        reason = f"with {makers}: no activation range is calibrated"
        _refuse_idle(recipe, CALIBRATION, reason, "make int8 files with --quantize static")
    elif recipe.encodings is not None:
        reason = f"with the encodings of {recipe.encodings}, which set every range"
        _refuse_idle(recipe, ("observer",), reason, "leave out --encodings")


def _refuse_idle(recipe: Recipe, options: tuple[str, ...], reason: str, remedy: str) -> None:
    """Refuse options that no file of the recipe uses.

    Raises:
        RecipeError: one has another value than its default.
    """
    for name in options:
        value = getattr(recipe, name)
        if value != Recipe.model_fields[name].default:
            raise RecipeError(
                f"{name} = {value!r} does nothing {reason}", f"leave it out, or {remedy}"
            )


def _find_task(option: str) -> str:
    """Return the first task that uses an option of some tasks only."""
    return next(name for name in list_tasks() if option in get_task(name).options)


def _check_varying(recipe: Recipe, task: Task) -> None:
    """Refuse varying sizes where the task or a file cannot have them.

    Raises:
        RecipeError: names the dimension or the format.
    """
    given = recipe.dynamic
    for one in recipe.varying:
        if one.name != BATCH and one.name not in task.varies:
            others = [name for name in list_tasks() if one.name in get_task(name).varies]
            raise RecipeError(
                f"dynamic = {given!r}: {one.name} cannot vary in the task {recipe.task}",
                f"leave {one.name} out; the tasks where it varies: {', '.join(others)}",
            )
    tokens = recipe.tokens or DEFAULT_TOKENS
    own = dict(zip(("tokens", "height", "width"), (tokens, *recipe.sides), strict=True))
    for one in recipe.varying:
        if one.name != BATCH and not one.takes(own[one.name]):
            option = "--tokens" if one.name == "tokens" else "--image-size"
            raise RecipeError(
                f"dynamic = {given!r}: the recipe's own {one.name}, {own[one.name]}, is none of "
                f"{one.words}",
                f"choose bounds around it, or give another size with {option}",
            )
    for text in recipe.formats if given else ():
        name, backend = parse_target(text)
        if backend is not None or not formats.get_format(name).varies:
            able = [one for one in FORMAT_NAMES.list_all() if formats.get_format(one).varies]
            what = "sample at once" if recipe.max_batch > 1 else "size"
            raise RecipeError(
                f"dynamic = {given!r}: files of {text} take one {what}",
                f"name others with --format: {','.join(able)}",
            )


def check_names(recipe: Recipe) -> None:
    """Check the names of the corrections and the observer.

    Raises:
        UnknownName: there is no such correction or observer.
        RecipeError: two corrections exclude each other.
    """
    plan.resolve(recipe.corrections)
    check_observer(recipe.observer)
