"""Explain what is wrong with a word that a person gave in place of a model.

A model is a member of `kit.models`, or ``FILE.py:FACTORY``. People also give a file of weights, a
converted model, a bundle, or a network that another library has; each gets the command that fits.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from kit.error_text import shorten_value
from kit.errors import KitError, RecipeError, UnknownName, suggest
from kit.model_source import format_hint
from kit.registry import MODEL_NAMES

_WEIGHTS = (".pth", ".pt", ".safetensors", ".bin", ".ckpt", ".tar", ".pkl")
_CONVERTED = {
    ".onnx": "an ONNX model",
    ".tflite": "a LiteRT model",
    ".pte": "an ExecuTorch program",
    ".ptl": "a Lite Interpreter model",
    ".pt2": "an exported program",
    ".mlmodel": "a Core ML model",
    ".mlpackage": "a Core ML model",
    ".pb": "a TensorFlow graph",
    ".h5": "a Keras model",
    ".keras": "a Keras model",
    ".gguf": "a GGUF model",
}
_FIND = "`kit list --models WORD` finds those of other libraries"
_OWN = "for a network of your own: FILE.py:FACTORY, with its --weights FILE"


def check_model_name(name: str) -> None:
    """Raise unless there is a model family of this name.

    Raises:
        RecipeError: it is the name of a file or folder, and the hint has what to do with it.
        UnknownName: there is no such family.
        PluginError: a plug-in uses a name that is taken.
    """
    if name not in MODEL_NAMES.list_own() and name not in MODEL_NAMES.list_all():
        raise explain_model_name(name)


def explain_model_name(name: str) -> KitError:
    """Return the error for a word that names no model family."""
    suffix, quoted = Path(name).suffix.lower(), shlex.quote(name)
    if suffix == ".py":
        return RecipeError(f"{name} names no function", f"append it: {name}:FACTORY")
    if suffix in _WEIGHTS:
        return RecipeError(
            f"{name} is a file of weights, and the network that they are for is not named",
            f"name it, kit build FILE.py:FACTORY --weights {quoted}, or a model of `kit list`",
        )
    if suffix in _CONVERTED:
        return RecipeError(
            f"{name} is {_CONVERTED[suffix]}, and kit builds from the network in PyTorch",
            "name the function that returns it: kit build FILE.py:FACTORY --weights FILE",
        )
    if (folder := _folder(name)) is not None:
        is_bundle = (folder / "bundle.json").is_file()
        what = "a bundle" if is_bundle else "a folder"
        fix = "`kit show` and `kit analyze` take bundles" if is_bundle else _OWN
        return RecipeError(f"{name} is {what}, not a model", fix)
    if os.sep in name:
        return RecipeError(f"there is nothing at {name}, and no model of that name", _OWN)
    hint = format_hint(name) or suggest(name, MODEL_NAMES.list_all())
    if hint.startswith("known"):
        hint += f"; {_FIND}; {_OWN}"
    return UnknownName(f"there is no model called {shorten_value(name)}", hint)


def _folder(name: str) -> Path | None:
    path = Path(name)
    try:
        return path if path.is_dir() else None
    except (OSError, ValueError):  # the name is too long, or has a zero byte
        return None
