"""kit: a mobile deployment kit, from the weights of a vision model to a measured device.

The Python API is these six functions. No module has the name of one of them, so that `kit.build`
is always the function. Importing `kit` imports no heavy package; each function imports what it
needs when it is called.

Example:
    >>> import kit
    >>> bundle = kit.build(kit.make_recipe("mobilenet_v2"), "out/v2")  # doctest: +SKIP
    >>> kit.evaluate(bundle, "pictures.zip").rows[0].top1          # doctest: +SKIP
    >>> kit.measure(bundle).runs[0].processes[0].samples_ns        # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.2.0"

if TYPE_CHECKING:
    from kit.accuracy import evaluate
    from kit.bench.measure import measure
    from kit.bundles.loading import load_bundle
    from kit.pipeline import build
    from kit.portability.verification import verify_processors
    from kit.recipe_input import make_recipe

__all__ = ["build", "evaluate", "load_bundle", "make_recipe", "measure", "verify_processors"]

_FUNCTIONS = {
    "build": ("kit.pipeline", "build"),
    "evaluate": ("kit.accuracy", "evaluate"),
    "load_bundle": ("kit.bundles.loading", "load_bundle"),
    "measure": ("kit.bench.measure", "measure"),
    "make_recipe": ("kit.recipe_input", "make_recipe"),
    "verify_processors": ("kit.portability.verification", "verify_processors"),
}


def __getattr__(name: str) -> object:
    if name not in _FUNCTIONS:
        raise AttributeError(f"module 'kit' has no attribute {name!r}")
    module, attribute = _FUNCTIONS[name]
    return getattr(importlib.import_module(module), attribute)
