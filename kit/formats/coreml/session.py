"""Sessions of Core ML, which runs models on macOS only."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from kit.error_text import get_first_line
from kit.errors import BundleError, RunError
from kit.formats.coreml.package import CoreMlObject, import_coremltools, read_package
from kit.formats.extra_packages import silence_converters
from kit.formats.interface import Output
from kit.signature import Tensors


class CoreMlSession:
    """A model that Core ML has compiled for this machine.

    Args:
        model: a `coremltools.models.MLModel`.
        inputs: names, in the signature's order.
        outputs: names, likewise.
    """

    def __init__(self, model: CoreMlObject, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        self._model, self._inputs, self._outputs = model, inputs, outputs

    def bind(self, inputs: Tensors) -> Callable[[], Output]:
        """Return a call that runs one inference.

        Raises:
            RunError: the package takes another number of inputs.
        """
        if len(inputs) != len(self._inputs):
            raise RunError(
                f"the package takes {len(self._inputs)} inputs, not {len(inputs)}",
                "build it again",
            )
        feed = {name: value.copy() for name, value in zip(self._inputs, inputs, strict=True)}
        predict = self._model.predict
        return lambda: predict(feed)

    def read(self, output: Output) -> Tensors:
        """Return the outputs in the package's order."""
        return tuple(np.asarray(output[name]) for name in self._outputs)


def load_session(path: Path) -> CoreMlSession:
    """Compile a package for whatever of this machine Core ML chooses, as an app gets it.

    Raises:
        BundleError: the package is damaged, or Core ML refuses it.
        RunError: this system is not macOS.
    """
    description = read_package(path).model.description
    if platform.system() != "Darwin":
        raise RunError(
            f"{path} cannot be run here: Core ML runs models on macOS only",
            "copy the bundle to a Mac, or choose other files with --format",
        )
    tools = import_coremltools()
    try:
        with silence_converters():
            model = tools.models.MLModel(str(path), compute_units=tools.ComputeUnit.ALL)
    except Exception as exc:  # Core ML's errors have no public base
        raise BundleError(
            f"Core ML cannot load {path}: {get_first_line(exc)}", "build it again"
        ) from exc
    names = ([one.name for one in side] for side in (description.input, description.output))
    return CoreMlSession(model, *names)
