"""Sessions of OpenVINO's CPU plug-in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kit.error_text import get_first_line
from kit.errors import BundleError, RunError
from kit.formats.extra_packages import import_package
from kit.formats.interface import Output
from kit.signature import Tensors

OpenVinoObject = Any  # its bindings have no types


class OpenVinoSession:
    """A compiled model, and one request that runs it."""

    def __init__(self, compiled: OpenVinoObject) -> None:
        self._request = compiled.create_infer_request()
        self._inputs, self._outputs = len(compiled.inputs), len(compiled.outputs)
        self._bound: object = None

    def bind(self, inputs: Tensors) -> Callable[[], Output]:
        """Return a call that runs one inference.

        The request reads the arrays themselves, so they are set again only when others were
        bound in between.

        Raises:
            RunError: the file takes another number of inputs, or other types or shapes.
        """
        if len(inputs) != self._inputs:
            raise RunError(
                f"the file takes {self._inputs} inputs, not {len(inputs)}", "build it again"
            )
        values = tuple(value.copy() for value in inputs)
        self._set(values)
        infer = self._request.infer

        def run() -> None:
            if self._bound is not values:
                self._set(values)
            infer()

        return run

    def _set(self, values: Tensors) -> None:
        tensor = import_openvino().Tensor
        try:
            for number, value in enumerate(values):
                self._request.set_input_tensor(number, tensor(value, shared_memory=True))
        except RuntimeError as exc:
            raise RunError(
                f"the file takes other inputs: {get_first_line(exc)}", "build it again"
            ) from exc
        self._bound = values

    def read(self, output: Output) -> Tensors:
        """Return copies of the outputs of the last call, which belong to the request."""
        numbers = range(self._outputs)
        return tuple(self._request.get_output_tensor(number).data.copy() for number in numbers)


def import_openvino() -> OpenVinoObject:
    """Return the package.

    Raises:
        MissingTool: it is not installed.
    """
    return import_package("openvino", "openvino", "openvino")


def load_session(path: Path, threads: int) -> OpenVinoSession:
    """Compile a file for latency on `threads` threads of the CPU.

    Without the hint of the precision, OpenVINO computes float32 models in bfloat16 where the
    processor has it.

    Raises:
        BundleError: OpenVINO refuses the file.
    """
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    core = import_openvino().Core()
    try:
        compiled = core.compile_model(str(path), "CPU", settings)
    except RuntimeError as exc:
        raise BundleError(
            f"OpenVINO cannot load {path}: {get_first_line(exc)}", "build it again"
        ) from exc
    return OpenVinoSession(compiled)
