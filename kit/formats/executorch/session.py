"""Sessions of ExecuTorch's runtime in this process."""

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
from typing import TYPE_CHECKING

from kit.errors import BundleError, RunError
from kit.formats.executorch import program
from kit.formats.interface import Output
from kit.signature import Tensors

if TYPE_CHECKING:
    from executorch.runtime import Program

# Programs loaded in this process, which keep the thread pool they were loaded with.
_sessions: weakref.WeakSet[ExecuTorchSession] = weakref.WeakSet()


def read_version() -> str:
    """Return the version of ExecuTorch."""
    from importlib.metadata import version as distribution

    return distribution("executorch")


class ExecuTorchSession:
    """The method ``forward`` of a program."""

    def __init__(self, loaded: Program) -> None:
        self._program = loaded  # keeps it alive, which the method does not
        self._method = loaded.load_method("forward")
        _sessions.add(self)

    def bind(self, inputs: Tensors) -> Callable[[], Output]:
        """Return a call that runs one inference."""
        import torch

        tensors = [torch.from_numpy(value.copy()) for value in inputs]
        return lambda: self._method.execute(tensors)

    def read(self, output: Output) -> Tensors:
        """Return the outputs."""
        return tuple(t.numpy().copy() for t in output)  # because the runtime may own the memory


def check_file(path: Path) -> None:
    """Parse a file completely, once: a damaged one would crash the runtime, and this process.

    Raises:
        BundleError: it is damaged.
    """
    _check(path, path.stat().st_mtime_ns if path.exists() else 0)


@functools.lru_cache(maxsize=16)
def _check(path: Path, _changed: int) -> None:
    program.read(path)


def load_session(path: Path, threads: int) -> ExecuTorchSession:
    """Load the program, to run on `threads` threads of this process.

    Raises:
        BundleError: the file is damaged, or ExecuTorch refuses it.
        RunError: another number of threads is in use by a model that is loaded already.
    """
    check_file(path)
    prepare_runtime(threads)
    from executorch.runtime import Runtime

    log = io.StringIO()
    try:
        with redirect_stderr(log):
            return ExecuTorchSession(Runtime.get().load_program(path))
    except RuntimeError as exc:
        reason = (log.getvalue().strip() or str(exc)).splitlines()[-1]
        raise BundleError(f"ExecuTorch cannot load {path}: {reason}", "build it again") from exc


def prepare_runtime(threads: int) -> int:
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
                f"ExecuTorch uses {now} threads in this process, {threads} were requested",
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
