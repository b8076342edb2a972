"""ExecuTorch (`.pte`), delegated to XNNPACK.

https://docs.pytorch.org/executorch/stable/backends-xnnpack.html
"""

from __future__ import annotations

import functools
import importlib.util
import io
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from kit.errors import BuildError, BundleError, RunError
from kit.formats import _pte
from kit.formats._contract import Array, Description, Info, Thresholds

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule

INFO = Info(
    suffix=".pte",
    summary="ExecuTorch, delegated to XNNPACK",
    flow="pt2e-s8",
    runtime="executorch",
    exact=False,
    graph=Thresholds(agreement=0.75, sqnr_db=12.0),
)

# What is loaded in this process: it holds on to the pool of threads it was loaded with.
_sessions: weakref.WeakSet[_ExecuTorchSession] = weakref.WeakSet()


def version() -> str:
    """Return the version of ExecuTorch."""
    from importlib.metadata import version as distribution

    return distribution("executorch")


def export(model: GraphModule, example: Tensor, path: Path) -> None:
    """Lower a model to XNNPACK and write the program.

    Raises:
        BuildError: ExecuTorch cannot lower the model.
    """
    import torch

    from kit.formats import _xnnpack_lowering

    try:
        program = torch.export.export(model, (example,))
        lowered = _xnnpack_lowering.lower(program)
    except Exception as exc:  # ExecuTorch's pass managers raise bare Exceptions
        raise BuildError(
            f"ExecuTorch cannot lower {type(model).__name__}: {_first_line(exc)}",
            "try another --format, or replace the operator that is named",
        ) from exc
    path.write_bytes(lowered.program)


def _first_line(exc: Exception) -> str:
    """Return what went wrong in one line: a pass manager's error only names the pass."""
    words = str(exc.__cause__ or exc).strip()
    return words.splitlines()[0] if words else type(exc).__name__


def describe(path: Path) -> Description:
    """Read the program version, the operators and what is delegated off the file.

    A node that XNNPACK took over is listed as ``xnnpack::Conv2d``, a call of a delegate as
    ``executorch_call_delegate``, and everything else by the kernel that the runtime calls.

    Raises:
        BundleError: it is not an ExecuTorch program, or it is damaged.
    """
    found = _pte.read(path)
    operators = dict(found.kernels)
    if found.calls:
        operators["executorch_call_delegate"] = found.calls.total()
    for kind, count in found.delegated.get(_pte.XNNPACK, {}).items():
        operators[f"xnnpack::{kind}"] = count
    return Description(
        format_version=f"ET12 program {found.version}",
        operators=dict(sorted(operators.items())),
        delegates={backend: nodes.total() for backend, nodes in found.delegated.items()},
        not_delegated=dict(sorted(found.kernels.items())),
        computed_in_float=_computed_in_float(found),
    )


def _computed_in_float(found: _pte.Contents) -> dict[str, int]:
    """Return XNNPACK's nodes that compute floats; moves and the way back do not count."""
    moves = {"Convert", "StaticTranspose", "StaticReshape", "StaticSlice", "Concatenate2"}
    return {f"xnnpack::{k}": n for k, n in sorted(found.floats.items()) if n and k not in moves}


class _ExecuTorchSession:
    def __init__(self, program: Any) -> None:
        self._program = program  # the method does not keep it alive
        self._method = program.load_method("forward")
        _sessions.add(self)

    def bind(self, image: Array) -> Callable[[], Any]:
        import torch

        inputs = [torch.from_numpy(image.copy())]
        return lambda: self._method.execute(inputs)

    def numpy(self, output: Any) -> Array:
        array: Array = output[0].numpy().copy()  # the memory may be the runtime's own
        return array


def check(path: Path) -> None:
    """Read a file through, once: a damaged one would end this process in the runtime.

    Raises:
        BundleError: it is damaged.
    """
    _check(path, path.stat().st_mtime_ns if path.exists() else 0)


@functools.lru_cache(maxsize=16)
def _check(path: Path, _changed: int) -> None:
    _pte.read(path)


def load(path: Path, threads: int) -> _ExecuTorchSession:
    """Load the program, to run on `threads` threads of this process.

    Raises:
        BundleError: the file is damaged, or ExecuTorch refuses it.
        RunError: another number of threads is in use by a model that is loaded already.
    """
    check(path)
    prepare(threads)
    from executorch.runtime import Runtime

    said = io.StringIO()
    try:
        with redirect_stderr(said):
            return _ExecuTorchSession(Runtime.get().load_program(path))
    except RuntimeError as exc:
        reason = (said.getvalue().strip() or str(exc)).splitlines()[-1]
        raise BundleError(f"ExecuTorch cannot load {path}: {reason}", "build it again") from exc


def prepare(threads: int) -> int:
    """Import the runtime, set the size of its thread pool, and return what it reports.

    A process has one pool, and what was loaded before keeps a pointer to it: to replace it
    then crashes or hangs. What the pool logs about the CPU at its first use is dropped;
    ExecuTorch logs through Python's `sys.stderr`.

    Raises:
        RunError: a model is loaded that uses another number of threads.
    """
    with _without_exporter():
        import executorch.runtime  # noqa: F401
        from executorch.extension.pybindings import portable_lib
    with redirect_stderr(io.StringIO()):
        now = int(portable_lib._threadpool_get_thread_count())
        if now == threads:
            return now
        if _sessions:
            raise RunError(
                f"ExecuTorch uses {now} threads in this process, {threads} were asked for",
                "load models that differ in threads in processes of their own",
            )
        portable_lib._unsafe_reset_threadpool(threads)
        return int(portable_lib._threadpool_get_thread_count())


@contextmanager
def _without_exporter() -> Iterator[None]:
    """Keep the runtime from importing `executorch.exir`, which takes three times as long.

    It imports that package, the whole exporter, for a decorator that warns. A stand-in
    without content lets it find the decorator's file, and is gone afterwards.
    """
    name = "executorch.exir"
    spec = importlib.util.find_spec("executorch")
    if name in sys.modules or spec is None:
        yield
        return
    stand_in = ModuleType(name)
    stand_in.__path__ = [str(Path(p, "exir")) for p in spec.submodule_search_locations or ()]
    sys.modules[name] = stand_in
    try:
        yield
    finally:
        sys.modules.pop(name, None)
        sys.modules.pop(f"{name}._warnings", None)
