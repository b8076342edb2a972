"""Sessions of LiteRT's interpreter in this process."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from kit.error_text import get_first_line
from kit.errors import BundleError, RunError
from kit.formats.interface import Output
from kit.formats.litert.channels_last import list_channels_last, transpose
from kit.formats.litert.flatbuffer import read_model
from kit.formats.litert.packages import import_package
from kit.signature import Tensors

Interpreter = Any  # ai-edge-litert has no types


class LiteRtSession:
    """An interpreter, whose delegate XNNPACK computes all operators that it has."""

    def __init__(self, interpreter: Interpreter, channels_last: Sequence[int] = ()) -> None:
        self._interpreter = interpreter
        self._channels_last = channels_last
        self._inputs = [one["index"] for one in interpreter.get_input_details()]
        self._outputs = [one["index"] for one in interpreter.get_output_details()]
        self._bound: object = None

    def bind(self, inputs: Tensors) -> Callable[[], Output]:
        """Return a call that runs one inference.

        The interpreter keeps the values of its inputs, so they are copied again only when
        others were bound in between.

        Raises:
            RunError: the file takes another number of inputs, or other types or shapes.
        """
        if len(inputs) != len(self._inputs):
            raise RunError(
                f"the file takes {len(self._inputs)} inputs, not {len(inputs)}", "build it again"
            )
        values = tuple(
            transpose(value) if i in self._channels_last and value.ndim == 4 else value.copy()
            for i, value in enumerate(inputs)
        )
        self._set(values)
        invoke = self._interpreter.invoke

        def run() -> None:
            if self._bound is not values:
                self._set(values)
            invoke()

        return run

    def _set(self, values: Tensors) -> None:
        try:
            for index, value in zip(self._inputs, values, strict=True):
                self._interpreter.set_tensor(index, value)
        except ValueError as exc:
            raise RunError(
                f"the file takes other inputs: {get_first_line(exc)}", "build it again"
            ) from exc
        self._bound = values

    def read(self, output: Output) -> Tensors:
        """Return the outputs of the last call, which belong to the interpreter."""
        return tuple(self._interpreter.get_tensor(index) for index in self._outputs)


def prepare_runtime() -> ModuleType:
    """Import the interpreter.

    Raises:
        MissingTool: ai-edge-litert is not installed.
    """
    return import_package("ai_edge_litert.interpreter", "ai-edge-litert")


def load_session(path: Path, threads: int) -> LiteRtSession:
    """Open a file with `threads` threads of XNNPACK.

    Raises:
        BundleError: the file is damaged, or LiteRT refuses it.
    """
    return LiteRtSession(open_interpreter(path, threads), check_file(path))


def open_interpreter(path: Path, threads: int) -> Interpreter:
    """Return an interpreter that is ready to run.

    Raises:
        BundleError: the file is damaged, or LiteRT refuses it.
    """
    check_file(path)
    module = prepare_runtime()
    try:
        interpreter = module.Interpreter(model_path=str(path), num_threads=threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as exc:
        raise BundleError(
            f"LiteRT cannot load {path}: {get_first_line(exc)}", "build it again"
        ) from exc
    return interpreter


def check_file(path: Path) -> tuple[int, ...]:
    """Parse a file completely, once until it changes.

    Returns:
        Numbers of its inputs that are channels last.

    Raises:
        BundleError: the file is damaged.
    """
    return _check(path, path.stat().st_mtime_ns if path.exists() else 0)


@functools.lru_cache(maxsize=16)
def _check(path: Path, _changed: int) -> tuple[int, ...]:
    return list_channels_last(read_model(path))
