"""The inputs of a build by content: files that a recipe names, and the key of the cache."""

from __future__ import annotations

import codecs
import hashlib
from pathlib import Path

from kit import encodings, models
from kit.bundles.bundle import MAX_TOKENIZER_BYTES
from kit.calibration import CalibrationSet
from kit.documents import MAX_CLASSES, describe_read_failure
from kit.error_text import shorten_value
from kit.errors import RecipeError
from kit.files import untrusted
from kit.recipe import OWN, Recipe

# Fields of a recipe that name files: the content is the input of a build, not the name.
BY_CONTENT = ("calibrate", "train", "weights", "labels", "encodings", "tokenizer", "preprocess")
_MAX_LABELS_BYTES = 16 * 2**20


def identify_inputs(recipe: Recipe, calibration_set: CalibrationSet) -> dict[str, object]:
    """Return all inputs of a build, by content.

    torch is imported for a user's model only, which must be built to fingerprint it.

    Raises:
        RecipeError: the labels, the encodings or the user's model cannot be used.
        WeightsError: the weights file cannot be read.
    """
    from kit.models import weights
    from kit.models.presets import find_preset
    from kit.models.sourced import SourcedModel
    from kit.models.user_model import UserModel

    member = models.get_model(recipe.model)
    fields = recipe.model_dump(mode="json", exclude=set(BY_CONTENT))
    parts: dict[str, object] = {
        "recipe": fields,
        "calibration": calibration_set.sha256,
        "labels": read_labels(recipe),
    }
    if calibration_set.notices and calibration_set.digests:
        # They are part of the bundle; the name of the set does not matter.
        parts["notices"] = [
            [notice.code, {k: v for k, v in notice.values.items() if k != "source"}]
            for notice in calibration_set.notices
        ]
    if isinstance(member, UserModel):
        parts["own"] = member.fingerprint(recipe.seed)
        del fields["model"]  # the path of the file; its content is in the fingerprint
    if isinstance(member, SourcedModel):
        parts["source"] = dict(member.origin)
        if member.find_own is not None:
            del fields["model"]  # the path of the folder; its content is in the origin
    if recipe.encodings is not None:
        parts["encodings"] = encodings.read(Path(recipe.encodings)).model_dump(mode="json")
    if recipe.preprocess is not None:
        parts["preprocess"] = repr(find_preset(recipe.preprocess))
    if recipe.tokenizer is not None:
        parts["tokenizer"] = hashlib.sha256(read_tokenizer(recipe.tokenizer)).hexdigest()
    if recipe.weights != OWN:
        parts["weights"] = weights.hash_source(recipe.weights, member.spec.weights, recipe.seed)
    return parts


def check_sources(recipe: Recipe) -> None:
    """Check that the weights and the labels of a recipe exist.

    Raises:
        WeightsError: the weights file cannot be read, or the model has no published weights.
        RecipeError: the labels cannot be used.
    """
    from kit.models import weights

    read_labels(recipe)
    if recipe.weights != OWN:
        official = models.get_model(recipe.model).spec.weights
        weights.hash_source(recipe.weights, official, recipe.seed)


def read_tokenizer(path: str) -> bytes:
    """Return the content of a tokenizer's file.

    Raises:
        RecipeError: it cannot be read.
    """
    try:
        return untrusted.read_file(Path(path), MAX_TOKENIZER_BYTES)
    except (OSError, ValueError) as exc:
        raise RecipeError(
            f"cannot read the tokenizer {path}: {describe_read_failure(exc)}",
            "give the tokenizer.json beside the model's weights",
        ) from exc


def read_labels(recipe: Recipe) -> tuple[str, ...] | None:
    """Return the names in the recipe's label file, in output order; None without a file.

    Raises:
        RecipeError: the file cannot be read or parsed (see `kit.images.label_file`), or names one
            class, or too many.
    """
    if recipe.labels is None:
        return None
    hint = "it is a UTF-8 text with the name of one class in each line"
    try:
        content = untrusted.read_file(Path(recipe.labels), _MAX_LABELS_BYTES)
        # Notepad of Windows writes UTF-16, with a mark.
        wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except (OSError, ValueError) as exc:
        raise RecipeError(
            f"cannot read the labels {recipe.labels}: {describe_read_failure(exc)}", hint
        ) from exc
    from kit.images.label_file import parse_names

    try:
        names = parse_names(text)
    except ValueError as exc:
        raise RecipeError(f"{recipe.labels} {exc}", hint) from exc
    if len(names) == 1:
        raise RecipeError(
            f"{recipe.labels} names one class, {shorten_value(names[0])}: "
            "there is nothing to tell apart",
            hint,
        )
    if len(names) > MAX_CLASSES:
        raise RecipeError(
            f"{recipe.labels} names {len(names)} classes, and a model has {MAX_CLASSES} at most",
            hint,
        )
    return names
